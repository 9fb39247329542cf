"""Real clients that no package registry has ready to run: built from source, once a checkout.

A Go program is a directory of tests/e2e/programs whose go.mod and go.sum pin every module. What
takes minutes to build is built only where MUNIMENT_TEST_HEAVY=1 asks for it; once it is there, it
is used without.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

HEAVY = "MUNIMENT_TEST_HEAVY"
CACHE = Path(__file__).parents[3] / ".cache" / "programs"
SOURCES = Path(__file__).parents[1] / "programs"
DEADLINE = 1_800.0
"""Seconds that one command of a build may take."""


def go_program(name: str, *, heavy: str = "", flags: str = "-s -w", package: str = ".") -> Path:
    """Returns the Go program of that name, built if need be; skips where it cannot be had.

    `heavy` says what the build costs, where that is too much for every run of the tests; `flags`
    are the linker's; `package` is built, where it is another than the directory's own.
    """
    source = SOURCES / name
    parts = [path.read_bytes() for path in sorted(source.iterdir())]

    def build(directory: Path) -> None:
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
        if go is None:
            pytest.skip(f"go is not installed: {name} cannot be built")
        options = ["-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags={flags}"]
        command = [go, "build", *options, "-o", str(directory / name), package]
        run(name, command, source, {"GOFLAGS": "", "GOWORK": "off"})

    return built(name, [*parts, flags.encode()], build, heavy) / name


def built(name: str, inputs: Sequence[bytes], build: Callable[[Path], None], heavy: str) -> Path:
    """Returns the directory that `build` filled, for these inputs; one worker builds at a time."""
    digest = sha256(b"".join(sha256(part).digest() for part in inputs)).hexdigest()[:16]
    directory = CACHE / name / digest
    if directory.is_dir():
        return directory
    if heavy and os.environ.get(HEAVY) != "1":
        pytest.skip(f"{name} is not built here: {HEAVY}=1 builds it once ({heavy})")
    with _alone(CACHE / f"{name}.lock"):
        if not directory.is_dir():
            draft = directory.with_name(f"{digest}.{os.getpid()}")
            draft.mkdir(parents=True)
            try:
                build(draft)
                draft.rename(directory)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return directory


def run(
    name: str, command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None
) -> None:
    """Runs one command of a build; skips the test, with the command's last line, where it fails."""
    done = subprocess.run(
        ["nice", *command],
        cwd=directory,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=DEADLINE,
        check=False,
    )
    if done.returncode != 0:
        told = (
            done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
        ).splitlines()
        pytest.skip(f"{name} cannot be built here: {Path(command[0]).name}: {told[-1][:300]}")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
