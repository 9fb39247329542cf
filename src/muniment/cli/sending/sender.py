"""Sends one source: batch by batch, in order, each recorded before it goes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol

from muniment.cli.sending.courier import Courier
from muniment.cli.sending.journal import Flight, Sent
from muniment.cli.sending.lines import MAX_LINE_BYTES, Cutter, Oversized, Piece
from muniment.cli.sending.resume import Start, sample
from muniment.cli.sending.source import Source
from muniment.errors import InputError, MunimentError, TooLarge

NDJSON = "application/x-ndjson"


class BadLine(MunimentError):
    """A line that the log cannot take; all before it is acknowledged, nothing after it is sent."""


class Miscounted(MunimentError):
    """The acknowledgement is not one of the batch that was sent."""


class Observer(Protocol):
    """Is told how it goes."""

    def remark(self, text: str) -> None:
        """Something that the sender of the file should know."""

    def moved(self, consumed: int, entries: int) -> None:
        """Bytes of the file that were read so far, and entries just acknowledged."""


@dataclass(slots=True)
class Tally:
    """What the log acknowledged: the number of entries, and the first and last of each shard.

    `receipts` holds the newest acknowledgement of each shard, as the server gave it.
    """

    entries: int = 0
    bytes: int = 0
    shards: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, first: int, count: int, length: int, answer: dict[str, Any]) -> None:
        """Counts an acknowledged batch."""
        shard, last = str(answer["shard"]), first + count - 1
        low, high = self.shards.get(shard, (first, last))
        self.shards[shard] = (min(low, first), max(high, last))
        self.receipts[shard] = answer
        self.entries += count
        self.bytes += length


class Sender:
    """Sends what a source holds from its start on. `write` keeps the record before each batch."""

    def __init__(
        self,
        source: Source,
        start: Start,
        courier: Courier,
        tally: Tally,
        observer: Observer,
        *,
        write: Callable[[Sent], None],
        skip_bad: bool = False,
    ) -> None:
        self._source, self._courier = source, courier
        self._tally, self._observer = tally, observer
        self._write, self._skip_bad = write, skip_bad
        self._flight = start.flight
        self._ndjson = courier.to.media_type == NDJSON
        self.sent = start.sent
        self._cutter = Cutter(source.read)

    def run(self) -> None:
        """Sends to the end of the source. Raises BadLine, and what the server refuses it with."""
        sent = self.sent
        if self._flight is not None:
            piece = self._flight
            self._cutter.offset, self._cutter.line = piece.end, piece.line + piece.lines
            self._source.go_to(piece.end)
            self._deliver(piece, sent.flight)
        else:
            self._cutter.offset, self._cutter.line = sent.offset, sent.lines + 1
            self._source.go_to(sent.offset)
        if self.sent.open_line and self._cutter.offset == self.sent.offset:
            self._close_line()
        while (next_ := self._cutter.next()) is not None:
            if isinstance(next_, Oversized):
                detail = f"{next_.length:,} bytes, more than the {MAX_LINE_BYTES:,} of an entry"
                self._pass_over(next_.line, next_.end, detail)
            else:
                self._deliver(next_)

    def _deliver(self, piece: Piece, flight: Flight | None = None) -> None:
        if self._ndjson and not piece.body.strip():
            self._settle(piece)
            return
        digest = sha256(piece.body).hexdigest()
        if not self.sent.head[0] and piece.offset == 0:
            self.sent = replace(self.sent, head=sample(piece.body))
        if flight is None:
            id_ = self.sent.batch_id(piece.offset, digest)
            self.sent = replace(self.sent, flight=Flight(piece.offset, piece.end, digest, id_))
            self._write(self.sent)
        assert self.sent.flight is not None
        try:
            answer = self._courier.deliver(piece.body, self.sent.flight.id)
        except TooLarge as error:
            self._send_less(piece, error)
        except InputError as error:
            self._go_round(piece, error)
        else:
            self._acknowledged(piece, answer)

    def _acknowledged(self, piece: Piece, answer: dict[str, Any]) -> None:
        try:
            shard, first, count = str(answer["shard"]), int(answer["first"]), int(answer["count"])
            receipt = str(answer["receipt"])
        except (KeyError, TypeError, ValueError) as error:
            raise Miscounted("the server's answer is no acknowledgement") from error
        expected = _entries(piece, self._ndjson)
        if count != expected:
            raise Miscounted(f"the server acknowledged {count:,} entries of {expected:,}")
        self._settle(piece)
        self.sent = replace(self.sent, shard=shard, next=first + count, receipt=receipt)
        self._tally.add(first, count, len(piece.body), answer)
        self._observer.moved(self._source.consumed, count)

    def _settle(self, piece: Piece) -> None:
        """The piece needs no more attention: what comes next begins at its end."""
        self.sent = replace(
            self.sent,
            head=self.sent.head if self.sent.head[0] or piece.offset else sample(piece.body),
            tail=sample(piece.body, end=True),
            offset=piece.end,
            lines=piece.line + piece.lines - 1,
            open_line=not piece.body.endswith(b"\n"),
            flight=None,
        )

    def _send_less(self, piece: Piece, error: TooLarge) -> None:
        if error.line is not None or piece.lines == 1:
            self._go_round(piece, error)
            return
        self._cutter.batch_bytes = max(1, len(piece.body) // 2)
        self._cutter.push_back(piece)

    def _go_round(self, piece: Piece, error: InputError) -> None:
        """Sends what stands before the bad line, deals with that line, leaves the rest for later.

        Raises the error where it names no line of the piece.
        """
        line = 1 if isinstance(error, TooLarge) and piece.lines == 1 else error.line
        if line is None or line > piece.lines:
            raise error
        before, bad_and_rest = piece.split(line - 1)
        assert bad_and_rest is not None
        bad, rest = bad_and_rest.split(1)
        assert bad is not None
        if before is not None:
            self._deliver(before)
            if self.sent.offset != before.end:
                raise error
        if rest is not None:
            self._cutter.push_back(rest)
        self._pass_over(bad.line, bad.end, error.detail.removeprefix(f"line {error.line}: "))

    def _pass_over(self, line: int, end: int, detail: str) -> None:
        place = f"{self._source.name}, line {line:,}: {detail}"
        if not self._skip_bad:
            raise BadLine(place)
        skipped = {"file": self._source.name, "line": line, "reason": detail}
        self._tally.skipped.append(skipped)
        self._observer.remark(f"skipped {place}")
        self.sent = replace(
            self.sent, offset=end, lines=line, tail=(0, ""), open_line=False, flight=None
        )

    def _close_line(self) -> None:
        """Deals with a last line that was sent before its newline was there."""
        following = self._source.exactly(self.sent.offset, self.sent.offset + 1)
        if following == b"\n":
            self.sent = replace(self.sent, offset=self.sent.offset + 1, open_line=False)
            self.sent = replace(self.sent, tail=sample(b"\n"))
            self._cutter.offset += 1
        else:
            self._source.go_to(self.sent.offset)
        if following not in (b"", b"\n"):
            self._cutter.line -= 1
            self._observer.remark(
                f"{self._source.name}, line {self.sent.lines:,} was not finished when it was sent; "
                "its rest follows as an entry of its own"
            )


def _entries(piece: Piece, ndjson: bool) -> int:
    if not ndjson:
        return piece.lines
    return sum(1 for line in piece.body.split(b"\n") if line.strip())
