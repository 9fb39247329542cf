"""How this process uses memory: malloc, tuned for buffers of about a megabyte."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def keep_large_buffers() -> None:
    """Lets malloc use buffers of some megabytes again (glibc; elsewhere nothing happens).

    By default it gives them back to the system at each turn, and gets them again with about 500
    page faults a megabyte, which costs as much as hashing them.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 16 << 20)
        mallopt(_M_TRIM_THRESHOLD, 32 << 20)
        mallopt(_M_ARENA_MAX, 2)
