"""The feed of a `[[tail]]` section: whole lines of its files, in large pieces, into one stream."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

import orjson

from muniment.capture.feeds.tail.finder import MAX_FILES, POLL_SECONDS, Finder
from muniment.capture.feeds.tail.followed import Followed, Known
from muniment.capture.feeds.tail.lines import all_lines, grouped, whole_lines
from muniment.capture.parcel import MAX_RECORD
from muniment.capture.port import Outlet
from muniment.capture.snapshot import Json
from muniment.capture.text import plain
from muniment.clock import Clock, SystemClock, rfc3339

if TYPE_CHECKING:
    from muniment.capture.feeds.tail import Settings

PIECE = 1 << 20
"""Bytes that are read at a time."""

HASTE = 1.0
"""Seconds that a rotated file must be quiet where half of all that can be followed are open."""

_logger = logging.getLogger(__name__)


class Tail:
    """Follows the files of one section; see `port.Feed`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        first = settings.first_line
        self._first = re.compile(first.encode()) if first else None
        self._placed: set[tuple[int, int]] = set()

    @property
    def stream(self) -> str:
        """The name of the section."""
        return self._settings.name

    def run(self, outlet: Outlet, stopping: Event) -> None:
        """Puts what the files get, until `stopping` is set. Raises OSError and Stopped."""
        finder = Finder(self._settings.paths, self._clock)
        ended = Event()
        looking = Thread(target=finder.run, args=(ended,), name=f"{self.stream} files", daemon=True)
        try:
            self._begin(finder, outlet)
            looking.start()
            while not stopping.is_set():
                if not self.round(finder, outlet):
                    stopping.wait(POLL_SECONDS)
        finally:
            ended.set()
            if looking.is_alive():
                looking.join()
            finder.close()

    def round(self, finder: Finder, outlet: Outlet) -> bool:
        """Puts a piece of each file that has one; returns whether a file has more at once."""
        more = False
        left_out = finder.take_left_out()
        if left_out or {file.identity for file in finder.files} != self._placed:
            events = [self._event("capture.not_followed", file=p, reason=w) for p, w in left_out]
            self._place(outlet, finder, events)
        files = finder.files
        for file in files:
            now = self._clock.monotonic()
            unread = file.look(now)
            if unread < 0:
                self._cut(file, finder, outlet)
                unread = file.look(now)
            if unread and self._due(file, unread, now):
                more |= self._put(file, finder, outlet, now) and unread > PIECE
            elif self._over(file, now, crowded=len(files) > MAX_FILES // 2):
                self._leave(file, finder, outlet, now)
        return more

    def _begin(self, finder: Finder, outlet: Outlet) -> None:
        """Takes up where the last run was; at the first run, where the section says."""
        position = outlet.position(self.stream)
        if position is None:
            at_end = self._settings.start == "end"
            finder.look(Followed.go_to_end if at_end else lambda _: None)
            self._place(outlet, finder)
            return
        lost: list[Known] = []
        for known in _known(position):
            with suppress(OSError):
                if finder.restore(known) is None:
                    lost.append(known)
        finder.look()
        self._place(outlet, finder, [self._loss(known) for known in lost])

    def _loss(self, known: Known) -> bytes:
        return self._event(
            "capture.lost",
            file=known.path,
            inode=known.inode,
            read=known.offset,
            not_read=max(0, known.size - known.offset),
            detail="the file is there no more; not_read is what had been seen of it",
        )

    def _place(self, outlet: Outlet, finder: Finder, events: Sequence[bytes] = ()) -> None:
        """Makes durable which files are followed and where, with events of the tail's own."""
        files = finder.files
        outlet.put(self.stream, "muniment", events, position=_position(finder))
        self._placed = {file.identity for file in files}

    def _due(self, file: Followed, unread: int, now: float) -> bool:
        """Whether there is enough to read, or it has waited long enough, or nothing follows it."""
        since = now if file.unread_since is None else file.unread_since
        return unread >= PIECE or now - since >= self._settings.parcel_age

    def _over(self, file: Followed, now: float, *, crowded: bool = False) -> bool:
        """Whether a file was rotated away long ago; with many of them, a moment is long."""
        wait = self._settings.rotate_wait
        return not file.named and now - file.grew >= (min(wait, HASTE) if crowded else wait)

    def _leave(self, file: Followed, finder: Finder, outlet: Outlet, now: float) -> None:
        """Ends following a file that was rotated away and is read to its end."""
        if file.look(now):
            return
        finder.leave(file)
        self._place(outlet, finder)

    def _put(self, file: Followed, finder: Finder, outlet: Outlet, now: float) -> bool:
        """Puts what is whole in the next piece; returns whether anything was."""
        size = PIECE
        data = file.read(size)
        lines, taken = whole_lines(data)
        while not taken and len(data) == size:
            if size == MAX_RECORD:
                return self._put_cut_line(file, finder, outlet, data)
            size = min(4 * size, MAX_RECORD)
            data = file.read(size)
            lines, taken = whole_lines(data)
        if file.look(now) < 0:  # it was cut before it was read: this may be from the middle
            return False
        quiet = now - file.grew
        if quiet >= self._settings.idle or self._over(file, now):
            lines, taken = all_lines(data) if len(data) < size else (lines, taken)
        if self._first is not None and lines:
            lines, taken = self._groups(lines, taken, len(data) >= PIECE, quiet)
        if not taken:
            return False
        self._advance(file, finder, outlet, lines, taken)
        return True

    def _groups(
        self, lines: list[bytes], taken: int, full: bool, quiet: float
    ) -> tuple[list[bytes], int]:
        """Records of several lines; the last waits until it is known to be whole."""
        assert self._first is not None
        records, last = grouped(lines, self._first)
        waits = quiet < max(2.0, 2 * self._settings.parcel_age)
        if waits and not (full and len(records) == 1):
            records.pop()
            taken -= min(last, taken)
        return records, taken

    def _put_cut_line(self, file: Followed, finder: Finder, outlet: Outlet, data: bytes) -> bool:
        """A line that no record can hold: a piece of it is a record, the rest follows."""
        at = file.offset
        self._advance(file, finder, outlet, [data], len(data))
        event = self._event("capture.cut", file=file.path, offset=at, bytes=len(data))
        self._place(outlet, finder, [event])
        return True

    def _advance(
        self, file: Followed, finder: Finder, outlet: Outlet, records: list[bytes], taken: int
    ) -> None:
        """Puts records; the file is taken as read only once they are durable."""
        before = file.offset
        file.offset += taken
        try:
            outlet.put(
                self.stream,
                self._settings.source,
                records,
                about={"file": plain(file.path)},
                position=_position(finder),
            )
        except BaseException:
            file.offset = before
            raise
        file.unread_since = None

    def _cut(self, file: Followed, finder: Finder, outlet: Outlet) -> None:
        """A file became shorter, or has another beginning: it was cut, and is read from there."""
        read = file.offset
        file.begin_again()
        _logger.info("%s was cut", file.path)
        self._place(outlet, finder, [self._event("capture.truncated", file=file.path, read=read)])

    def _event(self, action: str, **fields: object) -> bytes:
        event = {
            "time": rfc3339(self._clock.now()),
            "actor": "muniment",
            "action": action,
            "resource": f"tail:{self.stream}",
            **{key: plain(value) for key, value in fields.items()},
        }
        return orjson.dumps(event)


def _position(finder: Finder) -> dict[str, Json]:
    """Where each file stands that is followed, and each that cannot be opened now."""
    followed = [file.known for file in finder.files]
    return {"files": [known.json() for known in (*followed, *finder.withheld)]}


def _known(position: Mapping[str, Json]) -> list[Known]:
    files = position.get("files")
    return (
        [Known.of(one) for one in files if isinstance(one, dict)] if isinstance(files, list) else []
    )
