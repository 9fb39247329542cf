"""The machine's own limits, measured in the same run: the disk and SHA-256."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path


def append_and_sync(bodies: list[bytes], total: int, directory: Path) -> float:
    """Returns bodies a second for the same bytes appended and fdatasynced, nothing else done."""
    descriptor, name = tempfile.mkstemp(dir=directory)
    try:
        started = time.perf_counter()
        for number in range(total):
            os.write(descriptor, bodies[number % len(bodies)])
            os.fdatasync(descriptor)
        return total / (time.perf_counter() - started)
    finally:
        os.close(descriptor)
        Path(name).unlink()


def sha256(bodies: list[bytes], total: int) -> float:
    """Returns bodies a second for one SHA-256 over each body, on one core."""
    started = time.perf_counter()
    for number in range(total):
        hashlib.sha256(bodies[number % len(bodies)]).digest()
    return total / (time.perf_counter() - started)
