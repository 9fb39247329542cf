"""Runs the shell blocks of a documentation page as a reader would, top to bottom.

A block is fenced as ```sh, with words behind it that a reader does not see:

    background     it stays in the foreground of a terminal of its own
    stops-server   the reader stops Muniment before it
    exit=N         it ends with this exit code (0 without the word)

Addresses of the page are replaced by free ones of the test. Where a reader sleeps a few seconds
before he looks, a busy machine may need more: what stands behind the last `sleep` is asked again
for a while where it only reads.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

_BLOCK = re.compile(r"^( *)```sh([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SLEEP = re.compile(r"^sleep [0-9]+\n", re.MULTILINE)
_READS = re.compile(
    r"(?:(?:\w+=\$\()?muniment (?:search|sql|objects|show|history|blame|explain|diff|verify|prove"
    r"|check|completeness|capture status) |curl --fail --silent '?http|grep |find |  )"
)
"""How a line begins that can be asked again; the two spaces are those of a line that goes on."""

_STARTING_SECONDS = 120.0
_LOOKING_SECONDS = 60.0
_VARIABLES = ".variables"


@dataclass(frozen=True)
class Block:
    """One block of commands and the words behind its fence."""

    words: tuple[str, ...]
    text: str

    @property
    def exit_code(self) -> int:
        """The exit code that the page promises."""
        return next((int(w[5:]) for w in self.words if w.startswith("exit=")), 0)


def blocks(page: Path) -> list[Block]:
    """Returns a page's shell blocks, without the indentation of the list that they stand in."""
    found = []
    for indent, words, text in _BLOCK.findall(page.read_text()):
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        found.append(Block(tuple(words.split()), "\n".join(lines)))
    return found


@dataclass
class Reader:
    """Somebody who follows a page in an empty folder."""

    folder: Path
    replaced: Mapping[str, str]
    url: str
    variables: Mapping[str, str]
    background: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / _VARIABLES).touch()

    def follow(self, block: Block) -> subprocess.CompletedProcess[str] | None:
        """Runs one block; raises AssertionError where it does not end as the page promises."""
        text = block.text
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        if "stops-server" in block.words:
            self.stop_first()
        if "background" in block.words:
            self._start(text)
            return None
        done = self._bash(text)
        again = _SLEEP.split(text)[-1].strip("\n")
        reads = again != text and all(_READS.match(line) for line in again.splitlines())
        deadline = time.monotonic() + _LOOKING_SECONDS
        while reads and done.returncode != block.exit_code and time.monotonic() < deadline:
            time.sleep(0.5)
            done = self._bash(again)
        assert done.returncode == block.exit_code, f"{text}\n{done.stdout}\n{done.stderr}"
        return done

    def _bash(self, text: str) -> subprocess.CompletedProcess[str]:
        """Runs commands; the variables that they set are there for the next."""
        names = " ".join(re.findall(r"^(\w+)=\$\(", text, re.MULTILINE))
        keep = f"declare -p {names} >> {_VARIABLES}" if names else ""
        return subprocess.run(
            ["bash", "-c", f"set -eo pipefail\nsource {_VARIABLES}\n{text}\n{keep}"],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _start(self, text: str) -> None:
        lines = text.strip().splitlines()
        script = "\n".join([*lines[:-1], f"exec {lines[-1]}"])
        self.background.append(
            subprocess.Popen(
                ["bash", "-c", f"set -e\n{script}"],
                cwd=self.folder,
                env=self._environment(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        if "muniment serve" in text:
            self.wait_ready()
        else:
            self._wait_listening(text)
            time.sleep(1)

    def _wait_listening(self, text: str) -> None:
        """Waits for the ports of other servers, without a word to them that they would log."""
        for config in re.findall(r"haproxy -f (\S+)", text):
            text += (self.folder / config).read_text()
        ports = re.findall(r"(?:http\.server |bind 127\.0\.0\.1:)(\d+)", text)
        deadline = time.monotonic() + _STARTING_SECONDS
        while not all(_listens(int(port)) for port in ports):
            assert time.monotonic() < deadline, f"nobody listens on one of {ports}"
            time.sleep(0.1)

    def wait_ready(self) -> None:
        """Waits until Muniment answers on the page's address."""
        deadline = time.monotonic() + _STARTING_SECONDS
        while True:
            try:
                with urlopen(f"{self.url}/readyz", timeout=5):
                    return
            except OSError:
                assert time.monotonic() < deadline, "Muniment did not become ready"
                time.sleep(0.1)

    def stop_first(self) -> None:
        """Stops Muniment, which every page starts first."""
        process = self.background.pop(0)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)

    def stop(self) -> None:
        """Stops everything that was started."""
        for process in self.background:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.background:
            process.wait(timeout=60)

    def _environment(self) -> dict[str, str]:
        binaries = str(Path(sys.executable).parent)
        path = f"{binaries}:{os.environ['PATH']}:/usr/sbin"
        return {**os.environ, **self.variables, "PATH": path, "HOME": str(self.folder)}


def _listens(port: int) -> bool:
    """Whether somebody listens on a port (0A is the kernel's name for that state)."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


def free_port() -> int:
    """Returns a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
