"""Which kernel runs: the compiled one where it is installed and fits, else the one in Python."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from muniment.errors import SettingsError
from muniment.kernel.chunk import Chunk, Split

VARIABLE = "MUNIMENT_KERNEL"
CHOICES = ("auto", "native", "python")
INTERFACE = 1
"""The interface of the compiled module that `native` is written for."""

_HOW = "build it with `pip install ./kernel`"


class Kernel(Protocol):
    """What both kernels have; `python` says what each function does."""

    def pack_lines(self, body: bytes, header: bytes) -> list[Chunk]: ...
    def pack_json_lines(self, body: bytes, header: bytes) -> list[Chunk]: ...
    def pack_records(self, records: Sequence[bytes], header: bytes) -> list[Chunk]: ...
    def unpack(self, payload: bytes) -> list[bytes]: ...
    def split(self, payload: bytes) -> Split: ...
    def leaf_hashes(self, payload: bytes) -> bytes: ...
    def extend(self, frontier: bytes, size: int, leaves: bytes) -> tuple[bytes, list[bytes]]: ...
    def root(self, frontier: bytes) -> bytes: ...
    def crc32c(self, data: bytes, seed: int = 0) -> int: ...
    def compress(self, data: bytes) -> bytes: ...
    def decompress(self, data: bytes, size: int) -> bytes: ...


def choose(environment: Mapping[str, str]) -> tuple[str, Kernel]:
    """Returns the name and the functions of the kernel that MUNIMENT_KERNEL asks for.

    Raises SettingsError for a value that is none, and for `native` where that cannot be had. With
    `auto` (the default) a compiled kernel of another interface is passed over with a warning.
    """
    wanted = environment.get(VARIABLE, "auto")
    if wanted not in CHOICES:
        raise SettingsError(f"{VARIABLE} is {wanted!r}; it takes {', '.join(CHOICES)}")
    if wanted == "python":
        return _kernel("python")
    interface = _compiled_interface()
    if interface == INTERFACE:
        return _kernel("native")
    problem = "no compiled kernel can be imported"
    if interface is not None:
        problem = f"the compiled kernel has interface {interface}, and {INTERFACE} is needed"
    if wanted == "native":
        raise SettingsError(f"{VARIABLE} is native, but {problem}; {_HOW}")
    if interface is not None:
        warnings.warn(f"{problem}; Muniment runs on the Python kernel: {_HOW}", stacklevel=3)
    return _kernel("python")


def _kernel(name: str) -> tuple[str, Kernel]:
    return name, cast(Kernel, import_module(f"muniment.kernel.{name}"))


def _compiled_interface() -> int | None:
    try:
        return int(import_module("muniment_kernel").INTERFACE)
    except ImportError:
        return None
