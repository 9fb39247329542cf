"""kill -9 of `muniment send` at any moment: after the next run every line is there once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .fake_server import Answer, FakeServer, Request, serving


def command(path: Path, url: str) -> list[str]:
    return [sys.executable, "-m", "muniment", "send", str(path), "--as", "x", "--url", url]


def append(path: Path, first: int, stop: int) -> None:
    with path.open("ab") as file:
        file.write(b"".join(b"line %07d of a growing file\n" % n for n in range(first, stop)))


@pytest.mark.parametrize("seed", range(3))
def test_no_line_is_lost_or_doubled(tmp_path: Path, seed: int) -> None:
    """The process is killed at random moments, and just before and after the log takes a batch."""
    chance = random.Random(seed)
    fake = FakeServer()
    running: list[subprocess.Popen[bytes]] = []

    def kill_before(_request: Request, next_: object) -> Answer:
        running[-1].kill()
        return Answer.problem(503, "unavailable", "killed before")

    def kill_after(_request: Request, next_: object) -> Answer:
        answer: Answer = next_()  # type: ignore[operator]
        running[-1].kill()
        return answer

    path = tmp_path / "a.log"
    append(path, 0, 40_000)
    written = 40_000
    with serving(fake) as url:
        for _ in range(8):
            fake.faults.clear()
            kind = chance.choice(["before", "after", "time"])
            if kind != "time":
                skipped = [lambda _request, next_: next_()] * chance.randrange(3)
                fake.faults.extend([*skipped, kill_before if kind == "before" else kill_after])
            process = subprocess.Popen(
                command(path, url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            running.append(process)
            if kind == "time":
                time.sleep(chance.uniform(0.05, 0.6))
                process.kill()
            process.wait(60)
            more = chance.randrange(20_000)
            append(path, written, written + more)
            written += more
        fake.faults.clear()
        last = subprocess.run(command(path, url), capture_output=True, timeout=60)
    assert last.returncode == 0, last.stderr
    assert fake.lines == [b"line %07d of a growing file" % n for n in range(written)]
