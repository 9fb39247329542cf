"""One process of the fleet: started, started again when it dies, its output kept and shown."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from muniment.clock import Clock, SystemClock
from muniment.up import bound
from muniment.up.output import Output

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds before a process that died is started again: doubled each time, up to the longest."""

WELL_AFTER = 20.0
"""Seconds after which a process that dies is taken to have run well before."""

REST_SECONDS = 2.0
MAX_LINE = 64 << 10


class ProcessState(StrEnum):
    """Where a process is in its life."""

    STOPPED = "stopped"
    RUNNING = "running"
    STOPPING = "stopping"
    PAUSED = "restarting"


class Child:
    """A supervised process. It does not outlive this one, however this one ends.

    `last_signal` is what it gets when this process is killed. The methods are for the event loop.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        output: Output,
        *,
        last_signal: int = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name, self.command = name, tuple(command)
        self.state, self.restarts = ProcessState.STOPPED, 0
        self.on_exit: list[Callable[[str, int], None]] = []
        self._output, self._last_signal = output, last_signal
        self._environment = environment or {}
        self._clock = clock or SystemClock()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, where it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Starts it and keeps it running. Raises OSError where it cannot be started at all."""
        assert self._task is None or self._task.done(), f"{self.name} was started already"
        await self._spawn()
        self._task = asyncio.create_task(self._keep_running())

    async def stop(self, seconds: float) -> int | None:
        """Asks it to end, and ends it after so many seconds.

        Returns its exit status, negative for a signal; None where it was not running.
        """
        running, self.state = self.pid is not None, ProcessState.STOPPING
        process = self._process
        if running and process is not None:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), seconds)
            if process.returncode is None:
                self._output.say(f"did not end within {seconds:.0f} s: killed")
                await self.kill()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._reading is not None:
            await self._end_reading(self._reading)
        self.state = ProcessState.STOPPED
        status = process.returncode if running and process is not None else None
        if status:
            self._output.say(f"ended with {_status(status)}")
        return status

    async def kill(self, *, for_good: bool = False) -> None:
        """Ends it and what it started at once; with `for_good` it is not started again."""
        process = self._process
        if for_good:
            self.state = ProcessState.STOPPING
        if process is None or process.returncode is not None:
            return
        if for_good:
            self._output.say("killed")
        below = descendants(process.pid)
        self._end_group(process)
        for pid in below:  # those in groups of their own, as a balancer and its workers
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()

    async def _spawn(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(bound.__file__))),
            *(str(os.getpid()), str(int(self._last_signal))),
            *self.command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env={**_inherited(), **self._environment},
            start_new_session=True,  # Ctrl-C is for this process: it ends the others in order
            limit=MAX_LINE,
        )
        self.state = ProcessState.RUNNING
        self._reading = asyncio.create_task(self._read(self._process))

    async def _keep_running(self) -> None:
        pause = FIRST_PAUSE
        while True:
            assert self._process is not None
            began = self._clock.monotonic()
            status = await self._process.wait()
            if self.state is ProcessState.STOPPING:
                return
            self._end_group(self._process)
            if self._clock.monotonic() - began > WELL_AFTER:
                pause = FIRST_PAUSE
            self.restarts += 1
            self.state = ProcessState.PAUSED
            self._output.say(f"ended with {_status(status)}; started again in {pause:g} s")
            for told in self.on_exit:
                told(self.name, status)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                await self._spawn()
            except OSError as error:
                self._output.say(f"cannot be started: {error.strerror}")

    async def _end_reading(self, reading: asyncio.Task[None]) -> None:
        """Takes the rest; what a process left behind may hold the pipe open for long."""
        await asyncio.wait({reading}, timeout=REST_SECONDS)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    def _end_group(self, process: Process) -> None:
        """What a dead process left behind would keep its ports and its files."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    async def _read(self, process: Process) -> None:
        """Takes what it prints, line by line; a line that is too long is taken in pieces."""
        stream, cut = process.stdout, False
        assert stream is not None
        while not stream.at_eof():
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                line = error.partial
            except asyncio.LimitOverrunError as error:
                self._output.line(await stream.readexactly(max(error.consumed, 1)))
                cut = True
                continue
            if line and not (cut and line == b"\n"):
                self._output.line(line)
            cut = False


def descendants(pid: int) -> list[int]:
    """Returns the processes below one, as proc_pid_task_tid_children(5) has them at this moment."""
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def _inherited() -> dict[str, str]:
    """This process's own, but for settings: those of a node stand in its file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MUNIMENT_")}
    kernel = os.environ.get("MUNIMENT_KERNEL")
    return {**kept, "PYTHONUNBUFFERED": "1"} | ({"MUNIMENT_KERNEL": kernel} if kernel else {})


def _status(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
