"""Two servers: the agent goes on with the other when one is gone, and nothing is lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from .harness.agent import Agent
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

SECTIONS = """
[[tail]]
name = "access"
as = "text"
paths = ["access.log"]
parcel_age = 0.05
"""
ROUNDS = 4


def captured(server: MunimentServer) -> list[tuple[tuple[str, int], bytes]]:
    """Stream, number of the parcel and bytes of each line that came from the agent."""
    entries = [split_entry(entry) for entry in server.stored()]
    found = [(json.loads(header), raw) for header, raw in entries]
    return [((h["stream"], h["seq"]), raw) for h, raw in found if h["as"] == "text"]


def test_the_agent_goes_on_with_the_other_server(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with serving(tmp_path / "a") as first, serving(tmp_path / "b") as second:
        both = (first, second)
        agent = Agent(
            tmp_path / "agent", f'{first.url}", "{second.url}', SECTIONS, top="timeout = 5"
        )
        log = tmp_path / "agent" / "access.log"
        lines = 0
        try:
            agent.start()
            for number in range(ROUNDS):
                gone = both[number % 2]
                lines = write(log, lines)
                gone.kill()
                lines = write(log, lines)
                wait_for(lambda: shipped(agent, log), lambda: f"all to be sent: {agent.status()}")
                gone.start()
            assert agent.stop() == 0, agent.printed()
        finally:
            agent.close()
        found = [captured(server) for server in both]
        assert all(found), "both servers got something"
        parcels = [Counter(place for place, _ in entries) for entries in found]
        different = {(place, raw) for entries in found for place, raw in entries}
        assert {raw for _, raw in different} == {b"line %d" % n for n in range(lines)}
        assert len(different) == lines, "a line that is in both logs has the same number in both"
        for place in parcels[0].keys() & parcels[1].keys():
            assert parcels[0][place] == parcels[1][place], "parcels are repeated as wholes"
        events = [split_entry(entry)[1] for server in both for entry in server.stored()]
        assert any(b'"capture.endpoint_lost"' in event for event in events)
        assert any(b'"capture.endpoint_back"' in event for event in events) or ROUNDS < 3


def write(log: Path, lines: int) -> int:
    """Writes for a moment; returns how many lines there are then."""
    with log.open("ab", buffering=0) as file:
        for _ in range(20):
            file.write(b"".join(b"line %d\n" % n for n in range(lines, lines + 100)))
            lines += 100
            time.sleep(0.02)
    return lines


def shipped(agent: Agent, log: Path) -> bool:
    """Whether all of the file is captured and nothing waits."""
    status = agent.status()
    files = ((status.get("streams", {}).get("lb1/access") or {}).get("position") or {}).get("files")
    captured_all = bool(files) and files[0]["offset"] == log.stat().st_size
    return captured_all and not status["spool"]["held"]
