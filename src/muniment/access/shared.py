"""The tokens of a fleet: one file that every node reads, and none of them changes.

It is made with `muniment tokens --file` and put where the nodes find it: on a shared disk, by
configuration management, as a Kubernetes Secret. A node looks once a second whether it holds other
bytes, and keeps the last good ones where it is damaged or gone: a mistake in the file must not
lock out every sender at once. What was revoked is refused as soon as a good file says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from muniment.access.tokens import MAX_FILE_BYTES, TokenRecord, Tokens, parse
from muniment.errors import Corrupt, InputError, SettingsError, TryLater

LOOK_SECONDS = 1.0
TELL_SECONDS = 5.0
_MOST_TOLD = 20
_MOST_UNTOLD = 100
_logger = logging.getLogger(__name__)


class ManagedElsewhere(InputError):
    """The tokens of this node are those of a file that is made elsewhere."""

    status = 409
    slug = "managed-elsewhere"
    title = "The tokens are made elsewhere"


@dataclass(frozen=True, slots=True)
class Change:
    """What another file meant: the tokens that came, went, and are other than they were."""

    came: Sequence[TokenRecord]
    went: Sequence[TokenRecord]
    other: Sequence[TokenRecord]

    def __str__(self) -> str:
        parts = (("new", self.came), ("gone", self.went), ("changed", self.other))
        return "; ".join(f"{word}: {_names(records)}" for word, records in parts)


Tell = Callable[[Change], Awaitable[None]]
"""Puts a change on record. Raises TryLater where that has to wait."""


class SharedTokens(Tokens):
    """The tokens in a file that others write; `follow` keeps up with it."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(path, parse(path, data))
        self._seen = data
        self._trouble = ""

    @classmethod
    def open(cls, path: Path, **_: Any) -> Self:
        """Reads the file. Raises SettingsError where it cannot be used: see `_read`."""
        try:
            return cls(path, _read(path))
        except _Unusable as error:
            raise SettingsError(f"tokens: {path} {error}") from error
        except Corrupt as error:
            raise SettingsError(f"tokens: {error.detail}") from error

    @property
    def trouble(self) -> str:
        """Why the last good tokens stay; empty where they are those of the file."""
        return self._trouble

    def check_changeable(self) -> NoReturn:
        """Raises ManagedElsewhere."""
        raise ManagedElsewhere(
            "the tokens of this node are those of a file that the whole fleet reads",
            advice="make and revoke them there: muniment tokens --file FILE",
        )

    def _write(self, records: object) -> NoReturn:  # noqa: ARG002
        self.check_changeable()

    def look(self) -> Change | None:
        """Takes the file where it is another one, and says what changed. One thread at a time."""
        try:
            data = _read(self._path)
            if data == self._seen:
                return self._well(None)
            records = {record.id: record for record in parse(self._path, data)}
        except _Unusable as error:
            self._stay(str(error))
            return None
        except Corrupt as error:
            self._stay(f"is damaged: expected {error.expected}, found {error.found}")
            return None
        before, self._records, self._seen = self._records, records, data
        change = _difference(before, records)
        _logger.warning("the token file changed: %s", change)
        return self._well(change)

    async def follow(
        self, stopping: asyncio.Event, tell: Tell | None = None, every: float = LOOK_SECONDS
    ) -> None:
        """Looks until `stopping` is set, `every` so many seconds.

        What changed holds at once; it is told as soon as that can be, once or (where that took
        longer than TELL_SECONDS) twice.
        """
        untold: deque[Change] = deque(maxlen=_MOST_UNTOLD)
        while not stopping.is_set():
            change = await asyncio.to_thread(self.look)
            if change is not None and tell is not None:
                untold.append(change)
            try:
                while untold and tell is not None:
                    await asyncio.wait_for(tell(untold[0]), TELL_SECONDS)
                    untold.popleft()
            except (TryLater, TimeoutError) as error:
                _logger.warning("the change of the token file is not on record yet: %s", error)
            try:
                await asyncio.wait_for(stopping.wait(), every)
            except TimeoutError:
                continue

    def _well(self, change: Change | None) -> Change | None:
        if self._trouble:
            self._trouble = ""
            _logger.warning("the token file %s can be used again", self._path)
        return change

    def _stay(self, trouble: str) -> None:
        trouble = f"the token file {trouble}"
        if trouble != self._trouble:
            self._trouble = trouble
            _logger.error("%s: %s; the tokens that were known stay", self._path, trouble)


class _Unusable(Exception):
    """The file is not there, or cannot be trusted."""


def _read(path: Path) -> bytes:
    """Returns the bytes of the file. Raises _Unusable.

    Others may read it: a Kubernetes Secret has the mode 0644, or 0440 for its group, is reached
    through links that are swapped, and holds hashes of random secrets, which help nobody. Who may
    write it may make tokens, so that nobody but its owner may.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o022:
                raise _Unusable("can be written by others: its mode must be 0644 or less")
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise _Unusable("is not there") from None
    except OSError as error:
        raise _Unusable(f"cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise _Unusable(f"is larger than {MAX_FILE_BYTES:,} bytes")
    return data


def _difference(before: Mapping[str, TokenRecord], after: Mapping[str, TokenRecord]) -> Change:
    return Change(
        [one for id_, one in after.items() if id_ not in before],
        [one for id_, one in before.items() if id_ not in after],
        [one for id_, one in after.items() if id_ in before and before[id_] != one],
    )


def _names(records: Sequence[TokenRecord]) -> str:
    """Names and ids; secrets are nowhere."""
    named = ", ".join(f"{one.name} ({one.id})" for one in records[:_MOST_TOLD])
    more = len(records) - _MOST_TOLD
    return f"{named} and {more} more" if more > 0 else named or "none"
