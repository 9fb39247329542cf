"""Which versions may be put back: those that the instance's own agent signed when it saw them.

Names in a receipt header prove nothing here. Whoever may write can claim a stream of any name, and
several agents may send with one token, so that the authenticated sender is not the agent either. A
signature by the key on this host is. See `capture.attestation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from muniment.capture.attestation import check
from muniment.errors import InputError, SignatureInvalid
from muniment.log.note import Verifier

_ADVICE = "anybody who may write could have made it up; --any-agent takes it all the same"


def check_version(found: Mapping[str, Any], name: str, key: Verifier) -> None:
    """Checks a version as the API told it, against the agent's key. Raises InputError.

    The state itself is hashed again, and the version and the time that were told must be those that
    were signed: an old event cannot be sent once more as a new version.
    """
    try:
        said = check(found.get("note"), name, found.get("state"), key)
        if said["version"] != (found.get("version") or ""):
            raise SignatureInvalid("it is told under another version than was signed")
        if not _same_moment(said["time"], str(found.get("time"))):
            raise SignatureInvalid(f"it is told as of {found.get('time')}, signed {said['time']}")
    except SignatureInvalid as error:
        where = f"stream {found.get('stream')!r} of {found.get('sender')!r}"
        raise InputError(
            f"version {found.get('number')} of {name} came by {where}, and the agent {key.name!r} "
            f"does not vouch for it: {error.detail}",
            advice=_ADVICE,
        ) from error


def _same_moment(signed: str, told: str) -> bool:
    """Whether two times are the same to the millisecond, which is what the index keeps."""
    try:
        apart = _instant(signed) - _instant(told)
    except (ValueError, OverflowError):
        return False
    return abs(apart.total_seconds()) <= 0.001


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
