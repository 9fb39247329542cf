"""A change event as it stands in the log: put together from its parts, and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from muniment.capture.snapshot import version_of
from muniment.errors import EvidenceError, NoSuchEntry

MAX_BYTES = 32 << 20
"""Bytes of a change event that is put together; a state is a part of it."""

Read = Callable[[int], bytes]
"""From the index of an entry to its bytes. Raises NoSuchEntry, Corrupt."""


@dataclass(frozen=True, slots=True)
class ChangeEntry:
    """A change event, and what its receipt header says.

    `fault` is what is wrong with it, `size` how many bytes it has.
    """

    header: Mapping[str, Any]
    event: Mapping[str, Any]
    fault: str = ""
    size: int = 0

    @property
    def agent(self) -> str:
        """The agent that saw it, as far as the entry says."""
        return self.said("stream").partition("/")[0] or self.said("from")

    def said(self, name: str) -> str:
        """A text of the receipt header, empty where it has none of that name."""
        found = self.header.get(name)
        return found if isinstance(found, str) else ""

    @property
    def state(self) -> dict[str, Any] | None:
        """The whole state; None for an object that is not there, or where it cannot be read."""
        found = self.event.get("state")
        return found if isinstance(found, dict) else None

    @property
    def note(self) -> str:
        """The agent's signature, as it came; nobody has checked it."""
        found = self.event.get("note")
        return found if isinstance(found, str) else ""

    def texts(self, name: str) -> list[str]:
        """A member that is a list of texts."""
        found = self.event.get(name)
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    def members(self, name: str) -> dict[str, str]:
        """A member that is an object of texts."""
        found = self.event.get(name)
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, str)}

    def fields(self) -> list[dict[str, Any]]:
        """The fields that differ from the version before, as the agent said."""
        found = self.event.get("fields")
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def read_change(read: Read, index: int) -> ChangeEntry:
    """Reads the change event that begins with the entry at `index`. Raises NoSuchEntry, Corrupt.

    What is wrong with the event itself (a part that is missing, a state that has not the version
    which the event claims) is its `fault`.
    """
    header, raw = _apart(read(index))
    try:
        whole = _joined(read, index, header, raw)
        event = orjson.loads(whole)
        if not isinstance(event, dict):
            raise EvidenceError("it is no JSON object")
        orjson.dumps([[[event]]])  # which is how deep it stands in an answer
    except orjson.JSONDecodeError as error:
        return ChangeEntry(header, {}, f"not valid JSON: {error}")
    except orjson.JSONEncodeError:
        return ChangeEntry(header, {}, "it is nested too deeply", len(whole))
    except EvidenceError as error:
        return ChangeEntry(header, {}, error.detail)
    return ChangeEntry(header, event, _fault(event), len(whole))


def _apart(entry: bytes) -> tuple[Mapping[str, Any], bytes]:
    line, _, raw = entry.partition(b"\n")
    try:
        header = orjson.loads(line)
    except orjson.JSONDecodeError:
        header = None
    return (header if isinstance(header, dict) else {}), raw


def _joined(read: Read, index: int, header: Mapping[str, Any], raw: bytes) -> bytes:
    """The whole record. Raises EvidenceError where its parts do not make it up."""
    part = header.get("part")
    if not isinstance(part, dict):
        return raw
    count, size, digest = part.get("of"), part.get("bytes"), part.get("sha256")
    if part.get("number") != 1 or not isinstance(count, int) or not isinstance(size, int):
        raise EvidenceError("it does not begin with the first of its parts")
    if size > MAX_BYTES or not 1 <= count <= 1 + size:
        raise EvidenceError(f"it is a record of {size:,} bytes, which is more than is read here")
    pieces = [raw]
    for number in range(2, count + 1):
        try:
            other, piece = _apart(read(index + number - 1))
        except NoSuchEntry:
            raise EvidenceError(f"part {number} of {count} is missing") from None
        if other.get("part") != {**part, "number": number}:
            raise EvidenceError(f"part {number} of {count} does not follow")
        pieces.append(piece)
    whole = b"".join(pieces)
    if sha256(whole).hexdigest() != digest:
        raise EvidenceError("its parts do not have the SHA-256 of the record")
    return whole


def _fault(event: Mapping[str, Any]) -> str:
    state = event.get("state")
    if event.get("change") == "delete":
        return ""
    if not isinstance(state, dict):
        return "it holds no state"
    if version_of(state) != event.get("version"):
        return "its state does not have the version that it claims"
    return ""
