"""`muniment capture run` as a child process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .process import Process, resident_bytes
from .waiting import wait_for


class Agent:
    """One agent; its configuration, state and output are in `directory`.

    `sections` is TOML: `[[tail]]` tables and the like.
    """

    def __init__(
        self, directory: Path, endpoint: str, sections: str, *, name: str = "lb1", top: str = ""
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name, self.state = name, directory / "state"
        self.config = directory / "capture.toml"
        self.config.write_text(
            f'name = "{name}"\nendpoints = ["{endpoint}"]\nstate = "state"\n{top}\n{sections}\n'
        )
        self._output = directory / "capture.txt"
        self._process: Process | None = None

    def start(self, *, ready: bool = True, env: Mapping[str, str] | None = None) -> None:
        """Starts it; waits until it says that it ships, unless told otherwise."""
        command = [sys.executable, "-m", "muniment", "capture", "run", "--config", str(self.config)]
        before = len(self.printed())
        self._process = Process(command, self._output, env)

        def running() -> bool:
            assert self.process.running, f"the agent ended:\n{self.printed()[-4000:]}"
            return "ships to" in self.printed()[before:]

        if ready:
            wait_for(running, "the agent to run")

    @property
    def process(self) -> Process:
        """The running process."""
        assert self._process is not None, "the agent was not started"
        return self._process

    def printed(self) -> str:
        """All that it wrote, over all runs."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def status(self) -> dict[str, Any]:
        """Returns what it last wrote of itself; empty before that."""
        path = self.state / "status.json"
        return dict(json.loads(path.read_bytes())) if path.exists() else {}

    def resident_bytes(self, *, peak: bool = False) -> int:
        """Returns its resident set."""
        return resident_bytes(self.process.pid, peak)

    def kill(self) -> None:
        """kill -9, at whatever it is doing."""
        self.process.kill()

    def stop(self) -> int:
        """Ends it in the ordinary way; returns the exit status."""
        return self.process.stop()

    def close(self) -> None:
        """Ends what still runs."""
        if self._process is not None:
            self._process.end_group()
