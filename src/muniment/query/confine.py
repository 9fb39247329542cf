"""Takes rights away from this process for good: files, network, memory, processor time.

Landlock (Linux 5.13 and later) is the second wall behind DuckDB's own: where the kernel has it,
files other than those named cannot be opened, whatever runs in this process. Where it has not,
DuckDB's wall stands alone. See landlock(7) and linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Iterable, Mapping

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_READ_FILE = 1 << 2
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_RIGHTS = 0b11
_SCOPES = 0b11


def limit(limits: Mapping[int, int]) -> None:
    """Sets hard limits (see setrlimit(2)) by kind."""
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


def confine_files(readable: Iterable[str]) -> bool:
    """Leaves this thread, and those that it starts, only the reading of these files.

    What is open already stays open, and files that have no name can be opened again. Returns
    whether the kernel can do that; if it cannot, nothing has changed. Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    rights = next(r for v, r in sorted(_FILE_RIGHTS.items(), reverse=True) if v <= version)
    attributes = struct.pack("=Q", rights)
    if version >= 4:
        attributes += struct.pack("=Q", _TCP_RIGHTS)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    rules = _checked(libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for path in readable:
            _allow(libc, rules, path)
        _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT, rules, 0))
    finally:
        os.close(rules)
    return True


def _allow(libc: ctypes.CDLL, rules: int, path: str) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", _READ_FILE, handle)
        _checked(libc.syscall(_ADD, rules, _PATH_BENEATH, rule, 0))
    finally:
        os.close(handle)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
