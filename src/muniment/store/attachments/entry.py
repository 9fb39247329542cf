"""The entry that stands for an attachment: what it says, and how it is read again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from muniment.errors import InputError
from muniment.store.attachments.files import Kept

ACTION = "attachment.keep"
MAX_NAME = 255
OCTETS = "application/octet-stream"

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MEDIA = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}(?:[ \t]*;[ -~]{0,120})?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a sender says of a body: a name, which is never a path here, and a media type."""

    name: str = ""
    media_type: str = OCTETS

    @classmethod
    def of(cls, name: str, content_type: str | None) -> Said:
        """Checks both. Raises InputError."""
        if len(name.encode("utf-8", "replace")) > MAX_NAME or not name.isprintable():
            raise InputError(
                "the name of the attachment cannot be used",
                advice=f"send {MAX_NAME} bytes of printable text at most",
            )
        media = (content_type or OCTETS).strip()
        if not _MEDIA.fullmatch(media):
            raise InputError(f"{media[:80]!r} is no media type", advice=f"send {OCTETS}")
        return cls(name, media)


@dataclass(frozen=True, slots=True)
class Claim:
    """An entry that says that an attachment was kept. `place` is SHARD/INDEX."""

    sha256: bytes
    size: int
    place: str = ""


def record_of(kept: Kept, said: Said, sender: str) -> dict[str, object]:
    """Returns the record of an attachment in the native form.

    It has no time of its own (the receipt header has one), so that a repetition is the same bytes.
    """
    digest = kept.sha256.hex()
    called = said.name or f"sha256:{digest}"
    return {
        "actor": sender,
        "action": ACTION,
        "resource": {"name": called, "id": f"sha256:{digest}", "type": "attachment"},
        "outcome": "success",
        "message": f"kept {called}, {kept.size:,} bytes of {said.media_type}",
        "sha256": digest,
        "size": kept.size,
        "media_type": said.media_type,
        "name": said.name,
    }


def batch_id(kept: Kept, said: Said) -> str:
    """Returns the idempotency id of the entry: the same body, said to be the same, is put once."""
    about = sha256(orjson.dumps([said.name, said.media_type])).hexdigest()[:16]
    return f"attachment:{kept.sha256.hex()}:{about}"


def claim_of(header: Mapping[str, Any], raw: bytes, place: str = "") -> Claim | None:
    """Returns what an entry claims, or None for one that is not of an attachment.

    Nobody but Muniment writes `via` and `as` of `muniment`, so that no sender can claim for it.
    """
    if header.get("via") != "muniment" or header.get("as") != "muniment":
        return None
    if ACTION.encode() not in raw:
        return None
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or found.get("action") != ACTION:
        return None
    digest, size = found.get("sha256"), found.get("size")
    if not isinstance(digest, str) or not _HEX.fullmatch(digest) or type(size) is not int:
        return None
    return Claim(bytes.fromhex(digest), size, place) if size >= 0 else None
