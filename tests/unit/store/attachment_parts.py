"""What the tests of attachments stand on: a body that is kept, and copies in a simulated store."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from simulator import SimulatedStore

from muniment.store.attachments import Copies, Files, Kept
from muniment.store.port import Lock, Mode

BODY = b"evidence " * 100
DIGEST = sha256(BODY).digest()


def keep(files: Files, body: bytes = BODY, log: str = "default") -> Kept:
    """Keeps a body in pieces; its draft is gone afterwards, however that ends."""
    draft = files.draft(log)
    try:
        for start in range(0, len(body), 400):
            draft.write(body[start : start + 400])
        return draft.keep()
    finally:
        draft.drop()


def copies(store: SimulatedStore, days: int = 30) -> Copies:
    """Copies in a store that are locked for so long."""
    until = store.backing.clock.now() + timedelta(days=days)
    return Copies(store, lambda log: Lock(Mode.COMPLIANCE, until))
