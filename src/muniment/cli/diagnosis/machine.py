"""What the machine and the data directory must give."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from muniment.cli.diagnosis import FAIL, OK, WARN, Found
from muniment.cli.terminal import bytes_text
from muniment.data_names import ACCESS, KEYS, TOKENS

MIN_FREE, LOW_FREE = 256 << 20, 4 << 30
MIN_FILES, LOW_FILES = 256, 4096
PYTHON = (3, 11)
EARLIEST, LATEST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def look_at_machine(data: Path, now: datetime | None = None) -> Iterator[Found]:
    """Yields what was found; `data` need not exist yet."""
    yield _python()
    yield _kernel()
    yield _clock(now or datetime.now(UTC))
    yield _files()
    yield _directory(data)
    place = _existing(data)
    yield _space(place)
    yield _sync(place)
    yield from _keys(data)


def _python() -> Found:
    version = platform.python_version()
    if sys.version_info[:2] < PYTHON:
        return Found("python", FAIL, f"{version}; {PYTHON[0]}.{PYTHON[1]} or newer is needed")
    return Found("python", OK, f"{version} on {platform.system()} {platform.machine()}")


def _kernel() -> Found:
    from muniment import kernel

    entry, expected = b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    if kernel.leaf_hashes(len(entry).to_bytes(2, "big")).hex() != expected:
        return Found("kernel", FAIL, f"{kernel.ACTIVE}: does not give the leaf hash of RFC 6962")
    if kernel.ACTIVE == "python" and os.environ.get("MUNIMENT_KERNEL", "auto") == "auto":
        return Found("kernel", OK, "python; the native one (`pip install ./kernel`) is faster")
    return Found("kernel", OK, kernel.ACTIVE)


def _clock(now: datetime) -> Found:
    if not EARLIEST < now < LATEST:
        return Found("clock", FAIL, f"it is not {now:%Y-%m-%d}: entries would carry a wrong time")
    if Path("/run/systemd/timesync").is_dir() and not _synchronised():
        return Found("clock", WARN, f"{now:%Y-%m-%d %H:%M:%S} UTC, not synchronised yet")
    return Found("clock", OK, f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _synchronised() -> bool:
    return Path("/run/systemd/timesync/synchronized").exists()


def _files() -> Found:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return Found("open files", OK, "no limit")
    advice = "raise it (ulimit -n, LimitNOFILE=): each connection takes one"
    if hard < MIN_FILES:
        return Found("open files", FAIL, f"{hard:,} at most; {advice}")
    if hard < LOW_FILES:
        return Found("open files", WARN, f"{hard:,} at most; {advice}")
    return Found("open files", OK, f"{hard:,} at most")


def _directory(data: Path) -> Found:
    if not data.exists():
        place = _existing(data)
        if not os.access(place, os.W_OK | os.X_OK):
            return Found("data directory", FAIL, f"{data} cannot be made: {place} is not writable")
        return Found("data directory", OK, f"{data} is not there yet; the first start makes it")
    if not data.is_dir():
        return Found("data directory", FAIL, f"{data} is no directory")
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        return Found("data directory", FAIL, f"{data} cannot be read and written by this user")
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o077:
        return Found("data directory", WARN, f"{data} has mode {mode:04o}; chmod 700 {data}")
    return Found("data directory", OK, str(data))


def _existing(path: Path) -> Path:
    """The nearest directory that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())


def _space(place: Path) -> Found:
    usage, inodes = shutil.disk_usage(place), os.statvfs(place)
    free = f"{bytes_text(usage.free)} free of {bytes_text(usage.total)}"
    if usage.free < MIN_FREE:
        return Found("disk space", FAIL, f"{free}: writing will stop soon")
    if inodes.f_files and inodes.f_favail < 1000:
        return Found("disk space", FAIL, f"{inodes.f_favail} inodes free")
    return Found("disk space", WARN if usage.free < LOW_FREE else OK, free)


def _sync(place: Path) -> Found:
    """Writes, syncs and reads a file: what every acknowledgement stands on."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"muniment" * 512)
            file.flush()
            os.fdatasync(file.fileno())
            file.seek(0)
            if file.read() != b"muniment" * 512:
                return Found("fdatasync", FAIL, f"{place} does not give back what was written")
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        return Found("fdatasync", FAIL, f"{place}: {error.strerror}")
    if kind := _volatile(place):
        return Found("fdatasync", WARN, f"works, but {place} is on {kind}: gone at a restart")
    return Found("fdatasync", OK, "files and directories can be synced")


def _volatile(place: Path) -> str | None:
    """The kind of the file system where that keeps nothing over a restart."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    mounts = [line.split()[1:3] for line in lines if len(line.split()) > 2]
    inside = [(mount, kind) for mount, kind in mounts if place.is_relative_to(mount)]
    kind = max(inside, key=lambda found: len(found[0]), default=("", ""))[1]
    return kind if kind in ("tmpfs", "ramfs") else None


def _keys(data: Path) -> Iterator[Found]:
    private = [(data / KEYS, "*.key"), (data / ACCESS, TOKENS)]
    files = [path for folder, name in private if folder.is_dir() for path in folder.glob(name)]
    if not files:
        return
    wide = [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if wide:
        names = " ".join(str(path) for path in wide)
        yield Found("private files", FAIL, f"others can read them; chmod 600 {names}")
    else:
        yield Found("private files", OK, f"{len(files)} keys and token files, for their owner only")
