"""NGINX's processes: the master, the workers of the last reload, and the binary they run."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from muniment.balancer.pages import NotSeen

PID_FILES = (Path("/run/nginx.pid"), Path("/var/run/nginx.pid"))
_SECONDS = 20.0
_MASTER, _WORKER = b"nginx: master process", b"nginx: worker process"
_ENDING = b"nginx: worker process is shutting down"


@dataclass(frozen=True, slots=True)
class Running:
    """A running NGINX. Times of starting are ticks since the machine booted.

    `generation` names the workers that the last reload started; a worker that is replaced alone
    does not change it, while another of the same reload is there.
    """

    master: int
    started: int
    generation: str

    @property
    def epoch(self) -> str:
        """Names this master process."""
        return f"{self.master} started {self.started}"


def pid_file(configured: str | None, prefix: Path) -> Path:
    """Returns where the master's process id stands, by the directive `pid` or by convention."""
    if configured:
        return prefix / configured
    return next((path for path in PID_FILES if path.exists()), PID_FILES[0])


def running(file: Path) -> Running | None:
    """Returns what runs; None where nothing does. Raises NotSeen where that cannot be known."""
    try:
        text = file.read_bytes()[:32].strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotSeen(f"{file}: {error.strerror}") from error
    if not text.isdigit():
        return None
    master = int(text)
    title = _title(master)
    if title is None or not title.startswith(_MASTER):
        return None
    started = _started(master)
    if started is None:
        return None
    workers = [
        begun
        for pid in _children(master)
        if (name := _title(pid)) is not None
        and name.startswith(_WORKER)
        and not name.startswith(_ENDING)
        and (begun := _started(pid)) is not None
    ]
    # While a reload is under way both generations are there: the older one holds until it ends.
    oldest = min(workers, default=started)
    return Running(master, started, f"{master}.{oldest}")


def _title(pid: int) -> bytes | None:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()[:256]
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """The 22nd field of /proc/PID/stat (proc(5)); the second may hold anything."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _children(master: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if len(fields) > 1 and int(fields[1]) == master:
                found.append(int(entry.name))
    return found


@dataclass(frozen=True, slots=True)
class Binary:
    """What `nginx -V` says, and of which file: device, inode, size and time of its content."""

    path: str
    identity: tuple[int, int, int, int]
    version: str
    options: tuple[str, ...]


def binary(path: Path, known: Binary | None = None) -> Binary:
    """Returns what a binary is; asks it only where it is not the known one. Raises NotSeen."""
    try:
        found = path.stat()
    except OSError as error:
        raise NotSeen(f"{path}: {error.strerror}") from error
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    if known is not None and known.identity == identity and known.path == str(path):
        return known
    told = said(run([str(path), "-V"]))
    version = re.search(
        r"^(?:nginx|openresty|Tengine|angie)[^\n]*version: (\S+)", told, re.M | re.I
    )
    options = re.search(r"^configure arguments: (.*)$", told, re.M)
    return Binary(
        str(path),
        identity,
        version[1] if version else "",
        tuple(options[1].split(" --")) if options else (),
    )


def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs NGINX's binary. Raises NotSeen where it cannot be run, or does not end."""
    env = {"PATH": os.defpath, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, capture_output=True, timeout=_SECONDS, env=env, check=False, close_fds=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotSeen(f"{command[0]}: {error}") from error


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Returns what a run printed."""
    return (done.stderr + done.stdout)[:8_192].decode("utf-8", "replace")
