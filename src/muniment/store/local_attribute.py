"""The immutable attribute of Linux (ioctl_iflags(2)): such a file is not changed or removed.

It takes CAP_LINUX_IMMUTABLE to set it and to take it off, so it stops every user but root.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from pathlib import Path

GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS on 64 bits; the kernel reads and writes 32 of them."""

IMMUTABLE = 0x10
_UNSUPPORTED = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_FLAGS = struct.Struct("=i4x")


def is_immutable(path: Path) -> bool:
    """Whether the attribute is set. Raises OSError, but not where the system has none."""
    descriptor = _open(path)
    try:
        return bool(_flags(descriptor) & IMMUTABLE)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    finally:
        os.close(descriptor)


def set_immutable(path: Path, on: bool) -> bool:
    """Sets the attribute or takes it off; returns whether it is now as asked.

    False where the system or its file system has none, or this process has not the right. Raises
    OSError where the file cannot be opened.
    """
    descriptor = _open(path)
    try:
        flags = _flags(descriptor)
        wanted = flags | IMMUTABLE if on else flags & ~IMMUTABLE
        if wanted != flags:
            fcntl.ioctl(descriptor, SET_FLAGS, _FLAGS.pack(wanted))
        return True
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return not on
        if error.errno in (errno.EPERM, errno.EACCES):
            return False
        raise
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _flags(descriptor: int) -> int:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "no such attribute here")
    (flags,) = _FLAGS.unpack(fcntl.ioctl(descriptor, GET_FLAGS, bytes(_FLAGS.size)))
    return int(flags)
