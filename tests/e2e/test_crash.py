"""Nothing acknowledged is lost: kill -9 at random moments, again and again, under load."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .harness.process import Process, command_line
from .harness.server import LOG, MunimentServer, serving
from .harness.story import Story, assert_nothing_twice
from .harness.waiting import wait_for

RUNS = 50
SEED = 20_261_121


def test_fifty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        story = Story(server, SEED)
        for run in range(RUNS):
            since = server.shard()["size"]
            batches = story.crash(run)
            story.come_back(run)
            story.repeat(batches)
            story.check(since)
            if run % 10 == 9:
                story.verify()
        story.check(0)
        assert_nothing_twice(server)
        wait_for_query_processes_to_end(server)
        server.stop()
        story.verify()
        print(f"\n{len(story.kept)} acknowledgements, {story.repeated} replays of kept batches")
        assert len(story.kept) > RUNS, "the runs were too short to say anything"
        assert_command_line_agrees(server, story.receipts[-1], tmp_path)


def wait_for_query_processes_to_end(server: MunimentServer) -> None:
    """Only the living server has a query process; those of the killed ones noticed."""
    data = str(server.data).encode()

    def others() -> list[int]:
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        lines = {pid: command_line(pid) for pid in pids}
        found = [pid for pid, line in lines.items() if data in line and b"muniment.query" in line]
        return [pid for pid in found if pid != server.query_pid]

    wait_for(lambda: not others(), "the query processes of killed servers to end")


def assert_command_line_agrees(server: MunimentServer, receipt: str, directory: Path) -> None:
    trusted = directory / "receipt.json"
    trusted.write_text(json.dumps({"receipt": receipt}))
    command = [sys.executable, "-m", "muniment", "verify", str(server.data)]
    process = Process([*command, "--trust", str(trusted), "--json"], directory / "verify.txt")
    wait_for(lambda: not process.running, "verify to end")
    assert process.stop() == 0, process.printed()
    assert LOG in process.printed()
