"""Processes that die, that do not want to end, that print a lot; and their parent killed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from muniment.up import bound
from muniment.up import child as child_module
from muniment.up.child import Child, ProcessState
from muniment.up.output import Output

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); "
STUBBORN += "time.sleep(600)"
PARENT = f"""
import os, subprocess, sys, time
child = [sys.executable, {bound.__file__!r}, str(os.getpid()), '9', 'sleep', '600']
print(subprocess.Popen(child, start_new_session=True).pid, flush=True)
time.sleep(600)
"""


class Lines:
    """What was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, name: str, line: str) -> None:
        self.shown.append(line)

    async def wait(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition(self.shown):
                await asyncio.sleep(0.01)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def output(tmp_path: Path, lines: Lines) -> Iterator[Output]:
    found = Output("one", tmp_path / "one.log", lines)
    yield found
    found.close()


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


@in_loop
async def test_it_is_started_again_when_it_dies(output: Output, lines: Lines) -> None:
    child = Child("one", python("print('here'); raise SystemExit(3)"), output)
    await child.start()
    await lines.wait(lambda shown: shown.count("here") == 2)
    assert child.restarts >= 1
    assert "[ended with exit code 3; started again in 0.5 s]" in lines.shown
    await child.stop(5)


@in_loop
async def test_a_kill_from_outside_is_a_death_too(output: Output, lines: Lines) -> None:
    child = Child("one", python("import time; print('here'); time.sleep(600)"), output)
    await child.start()
    await lines.wait(lambda shown: "here" in shown)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await lines.wait(lambda shown: shown.count("here") == 2)
    assert child.pid != first
    assert any("SIGKILL" in line for line in lines.shown)
    assert await child.stop(5) == -signal.SIGTERM
    assert (child.state, child.pid) == (ProcessState.STOPPED, None)


@in_loop
async def test_what_does_not_want_to_end_is_killed(output: Output, lines: Lines) -> None:
    child = Child("one", python(STUBBORN), output)
    await child.start()
    await lines.wait(lambda shown: "up" in shown)
    assert await child.stop(0.2) == -signal.SIGKILL
    assert child.pid is None


@in_loop
async def test_one_that_was_killed_for_good_stays_down(output: Output, lines: Lines) -> None:
    child = Child("one", python("import time; print('here'); time.sleep(600)"), output)
    await child.start()
    await lines.wait(lambda shown: "here" in shown)
    await child.kill(for_good=True)
    assert await child.stop(0) is None
    assert (child.state, child.restarts) == (ProcessState.STOPPED, 0)
    await child.start()
    await lines.wait(lambda shown: shown.count("here") == 2)
    await child.stop(5)


@in_loop
async def test_no_settings_of_the_environment_reach_a_node(
    output: Output, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIMENT_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("ANOTHER", "kept")
    code = "import os; print([k for k in os.environ if k in ('MUNIMENT_LISTEN', 'ANOTHER', 'X')])"
    child = Child(
        "one", python(f"{code}; import time; time.sleep(600)"), output, environment={"X": ""}
    )
    await child.start()
    await lines.wait(bool)
    assert lines.shown == ["['ANOTHER', 'X']"]
    await child.stop(5)


@in_loop
async def test_a_line_that_is_too_long_is_taken_in_pieces(output: Output, lines: Lines) -> None:
    code = "import time; print('x' * 200_000 + 'end', flush=True); time.sleep(600)"
    child = Child("one", python(code), output)
    await child.start()
    await lines.wait(lambda shown: bool(shown) and shown[-1].endswith("end"))
    assert sum(map(len, lines.shown)) == 200_003
    assert len(lines.shown) > 1
    await child.stop(5)


@in_loop
async def test_a_grandchild_that_holds_the_pipe_delays_nobody(
    output: Output, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "REST_SECONDS", 0.05)
    code = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '600'], start_new_session=True); "
    )
    child = Child("one", python(code + "print(p.pid); time.sleep(600)"), output)
    await child.start()
    await lines.wait(bool)
    async with asyncio.timeout(30):
        await child.stop(5)
    os.kill(int(lines.shown[0]), signal.SIGKILL)
    await asyncio.sleep(0.2)  # the loop sees the end of the pipe


@in_loop
async def test_a_kill_takes_grandchildren_in_groups_of_their_own(
    output: Output, lines: Lines
) -> None:
    stubborn = [sys.executable, "-c", STUBBORN.replace("SIGTERM", "SIGUSR1")]
    code = f"import subprocess, time; p = subprocess.Popen({stubborn}, start_new_session=True); "
    child = Child("one", python(code + "print(p.pid); time.sleep(600)"), output)
    await child.start()
    await lines.wait(bool)
    grandchild = int(lines.shown[0])
    await child.kill(for_good=True)
    async with asyncio.timeout(30):
        while _alive(grandchild):
            await asyncio.sleep(0.01)
    await child.stop(0)


@in_loop
async def test_how_it_ended_stands_in_its_log(output: Output, lines: Lines) -> None:
    child = Child("one", python(STUBBORN), output)
    await child.start()
    await lines.wait(lambda shown: "up" in shown)
    await child.stop(0.2)
    assert lines.shown[-1] == "[ended with SIGKILL]"


def test_nothing_outlives_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen(python(PARENT), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def test_who_comes_too_late_does_not_begin() -> None:
    command = [sys.executable, bound.__file__, "1", "9", "echo", "begun"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_log_is_bounded(tmp_path: Path, lines: Lines) -> None:
    output = Output("one", tmp_path / "one.log", lines, most=1_000)
    for number in range(100):
        output.line(f"line {number:05} {'x' * 20}\n".encode())
    output.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"one.log", "one.log.1"}
    assert max(sizes.values()) < 1_100
    assert lines.shown[-1].startswith("line 00099")


def test_a_full_disk_stops_nobody(lines: Lines) -> None:
    output = Output("one", Path("/dev/full"), lines)
    output.line(b"shown all the same\n")
    assert lines.shown == ["shown all the same"]


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
