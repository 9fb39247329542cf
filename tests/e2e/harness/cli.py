"""The command line, run to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .process import Process
from .waiting import wait_for


def muniment(*arguments: object, cwd: Path, seconds: float = 120) -> tuple[int, str]:
    """Runs `muniment ARGUMENTS`; returns its exit status and what it printed."""
    output = cwd / "muniment.txt"
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", "muniment", *map(str, arguments)]
    process = Process(command, output, {"HOME": str(cwd), "COLUMNS": "200"})
    try:
        wait_for(lambda: not process.running, f"muniment {arguments[0]} to end", seconds)
    finally:
        status = process.stop()
    return status, process.printed()


def build_library(source: str, directory: Path, compiler: str) -> Path:
    """Compiles C into a shared library for LD_PRELOAD."""
    code, library = directory / "shim.c", directory / "shim.so"
    code.write_text(source)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, code, "-ldl"], check=True, timeout=60
    )
    return library
