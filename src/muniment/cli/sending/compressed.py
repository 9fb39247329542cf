"""Reads gzip (RFC 1952) and zstd (RFC 8878) files in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from muniment.errors import InputError

_READ = 1024
"""Compressed bytes decoded at once: few, for each can stand for tens of thousands."""

_MAX_WINDOW = 128 << 20


class Frame(Protocol):
    """Decodes one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


MakeFrame = Callable[[], Frame]


def decoder_for(path: Path) -> MakeFrame | None:
    """Returns what decodes a file of this name: `.gz`, `.zst`; None for a plain one."""
    if path.suffix == ".gz":
        return _gzip
    if path.suffix == ".zst":
        return _zstd
    return None


def plain_name(path: Path) -> Path:
    """Returns the name without the suffix of a compression."""
    return path.with_suffix("") if path.suffix in (".gz", ".zst") else path


class Compressed:
    """The content of members or frames that follow each other."""

    def __init__(self, file: BinaryIO, make: MakeFrame, name: str) -> None:
        self._file, self._make, self._name = file, make, name
        self._frame: Frame | None = None
        self._input = b""
        self._output = b""
        self.consumed = 0
        self.produced = 0

    def read(self, count: int) -> bytes:
        """Returns at most `count` bytes, none at the end.

        Raises InputError for what is damaged or cut short; all that stands before was given.
        """
        while not self._output:
            if not self._input:
                self._input = self._file.read(_READ)
                self.consumed += len(self._input)
            if not self._input:
                if self._frame is not None:
                    raise InputError(f"{self._name}: the compressed data is cut short")
                return b""
            self._step()
        data, self._output = self._output[:count], self._output[count:]
        self.produced += len(data)
        return data

    def _step(self) -> None:
        if self._frame is None:
            self._frame = self._make()
        try:
            self._output = self._frame.decompress(self._input)
        except Exception as error:  # zlib.error and ZstdError have no other base in common
            raise InputError(f"{self._name}: the compressed data is damaged: {error}") from error
        self._input = b""
        if self._frame.eof:
            self._input = self._frame.unused_data
            self._frame = None


def _gzip() -> Frame:
    return zlib.decompressobj(wbits=31)


def _zstd() -> Frame:
    import zstandard

    frame: Frame = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
    return frame
