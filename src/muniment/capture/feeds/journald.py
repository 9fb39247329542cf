"""`[[journald]]`: the journal of systemd, an entry a record, through `journalctl -o json --follow`.

A record is the line of JSON as journalctl gives it (systemd's Journal JSON format): every field
of the entry, those with bytes that are no text as lists of numbers. The cursor of the last one is
the position. The journal keeps what comes while the agent is away, as long as its bounds allow.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
from collections.abc import Sequence
from tempfile import TemporaryFile
from threading import Event
from typing import Annotated

import orjson
from pydantic import Field

from muniment.capture.parcel import MAX_RECORD
from muniment.capture.port import Feed, Outlet
from muniment.capture.section import Section
from muniment.clock import Clock, SystemClock
from muniment.errors import MunimentError
from muniment.settings.kinds import Source

POLL_SECONDS = 0.25
PARCEL_BYTES = 1 << 20
READ = 1 << 18
END_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class Settings(Section):
    """A table `[[journald]]`. Its stream has its name."""

    source: Source = Field("record", alias="as", description="The source of the entries.")
    units: tuple[str, ...] = Field(
        (), max_length=64, description="Units, such as haproxy.service; empty: all."
    )
    matches: tuple[str, ...] = Field(
        (), max_length=64, description="Matches of journalctl, such as _TRANSPORT=syslog."
    )
    start: Annotated[str, Field(pattern="^(beginning|end)$")] = Field(
        "beginning", alias="from", description="Where the first start begins."
    )
    command: str = Field("journalctl", description="The program that reads the journal.")
    parcel_age: float = Field(
        1.0, ge=0.05, le=60, description="Seconds that entries may wait for others."
    )


class JournalFailed(MunimentError):
    """journalctl ended, or what it says is no journal."""

    slug = "journal-failed"
    title = "The journal cannot be read"


def feeds(settings: Settings) -> Sequence[Feed]:
    """Returns the feed of a section."""
    return [Journal(settings)]


class Journal:
    """Follows the journal; see `port.Feed`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()

    @property
    def stream(self) -> str:
        """The name of the section."""
        return self._settings.name

    def command(self, cursor: str | None) -> list[str]:
        """Returns the command that follows the journal after a cursor."""
        settings = self._settings
        command = [settings.command, "--output=json", "--all", "--follow", "--quiet", "--no-pager"]
        command += [f"--unit={unit}" for unit in settings.units]
        if cursor:
            command.append(f"--after-cursor={cursor}")
        else:
            command.append("--lines=0" if settings.start == "end" else "--no-tail")
        return command + list(settings.matches)

    def run(self, outlet: Outlet, stopping: Event) -> None:
        """Puts entries until `stopping` is set. Raises JournalFailed, OSError and Stopped."""
        position = outlet.position(self.stream) or {}
        cursor = position.get("cursor")
        command = self.command(cursor if isinstance(cursor, str) else None)
        with TemporaryFile() as said:
            try:
                child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
                )
            except OSError as error:
                raise JournalFailed(f"{command[0]}: {error.strerror}") from error
            assert child.stdout is not None
            try:
                self._follow(child.stdout.fileno(), outlet, stopping)
                if not stopping.is_set():
                    status = child.wait(END_SECONDS)
                    said.seek(0)
                    words = said.read(200).decode(errors="replace").strip()
                    raise JournalFailed(f"{command[0]} ended with status {status}: {words}")
            finally:
                end(child)

    def _follow(self, descriptor: int, outlet: Outlet, stopping: Event) -> None:
        """Reads until the end, or until `stopping` is set; what is whole is put by then."""
        data, since = b"", self._clock.monotonic()
        while not stopping.is_set():
            ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
            piece = os.read(descriptor, READ) if ready else b""
            if piece and b"\n" not in data:
                since = self._clock.monotonic()
            data += piece
            due = len(data) >= PARCEL_BYTES
            due |= self._clock.monotonic() - since >= self._settings.parcel_age
            if due or (ready and not piece):
                data = self._put(data, outlet)
            if ready and not piece:
                return
            while len(data) > MAX_RECORD:  # such an entry is kept in pieces
                outlet.put(self.stream, self._settings.source, [data[:MAX_RECORD]])
                data = data[MAX_RECORD:]
        self._put(data, outlet)

    def _put(self, data: bytes, outlet: Outlet) -> bytes:
        """Puts the whole lines of `data`, and returns what follows them."""
        lines, _, rest = data.rpartition(b"\n")
        records = [line for line in lines.split(b"\n") if line]
        if records:
            cursor = cursor_of(records[-1])
            position = {"cursor": cursor} if cursor else None
            outlet.put(self.stream, self._settings.source, records, position=position)
        return rest


def cursor_of(entry: bytes) -> str:
    """Returns the cursor of an entry; empty where it has none (the end of one in pieces)."""
    try:
        cursor = orjson.loads(entry)["__CURSOR"]
    except (ValueError, KeyError, TypeError):
        return ""
    return cursor if isinstance(cursor, str) else ""


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends a child process, and waits for it."""
    if child.stdout is not None:
        child.stdout.close()
    child.terminate()
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
