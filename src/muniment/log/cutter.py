"""Cuts the bytes of a segment into what was written at once: group commits, checkpoints, the seal.

Only lengths are read here. Whether what was cut out holds is for `log.growing` to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from muniment.log.frame import HEADER_BYTES, TRAILER_BYTES, BadFrame, FrameHeader, Kind

MAX_GROUP_BYTES = 256 << 20
"""Bytes of one group commit: several times what a writer takes into one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The whole frames of one group commit, a checkpoint, or a seal with its trailer.

    `last` is the header of its last frame.
    """

    kind: Kind
    data: bytes
    last: FrameHeader


class Cutter:
    """Takes bytes as they come, gives them back in pieces; holds one that is not whole."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._walked = 0
        self._kind: Kind | None = None

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Takes the bytes that come next."""
        self._data += data

    def clear(self) -> None:
        """Forgets all that was taken and not given back."""
        self._data.clear()
        self._walked, self._kind = 0, None

    def beginning(self, length: int) -> bytes:
        """Returns up to `length` of the bytes that were taken and not given back."""
        return bytes(self._data[:length])

    def drop(self, length: int) -> None:
        """Gives up the first bytes, before any piece was begun."""
        del self._data[:length]

    def next(self) -> Piece | None:
        """Returns the next piece, or None where more bytes are needed.

        Raises BadFrame where no piece can be made of these bytes, whatever comes behind them.
        """
        while len(self._data) - self._walked >= HEADER_BYTES:
            end = self._walked + HEADER_BYTES
            header = FrameHeader.parse(bytes(self._data[self._walked : end]))
            self._check(header)
            end = self._walked + header.length
            if header.kind is Kind.SEAL:
                end += TRAILER_BYTES
            if end > MAX_GROUP_BYTES:
                raise BadFrame(f"a group commit of at most {MAX_GROUP_BYTES:,} bytes", f"{end:,}")
            if end > len(self._data):
                return None
            self._walked, self._kind = end, header.kind
            if header.ends:
                return self._take(header)
        return None

    def _check(self, header: FrameHeader) -> None:
        """A group begins where it says so and is of one kind; only one of entries has more frames.

        Raises BadFrame.
        """
        if header.begins != (self._kind is None):
            found = "one in the middle" if self._kind is None else "another one that begins"
            raise BadFrame("the frames of a group commit", found)
        if self._kind not in (None, header.kind):
            raise BadFrame(f"a frame of kind {self._kind}", f"{header.kind}")
        if header.kind is not Kind.ENTRIES and not header.ends:
            raise BadFrame(f"a frame of kind {header.kind} by itself", "one with more to come")

    def _take(self, last: FrameHeader) -> Piece:
        data = bytes(self._data[: self._walked])
        del self._data[: self._walked]
        self._walked, self._kind = 0, None
        return Piece(last.kind, data, last)
