"""The agent killed fifty times under load and rotation: no line lost, none twice, a whole chain."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from muniment.capture.chain import first_head, next_head, payload_of, read_heads
from muniment.log.note import Note, Verifier

from .harness.agent import Agent
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

KILLS = 50
SERVER_KILLS = (9, 22, 35, 44)
SEED = 20_261_121
BUSY = 100_000
"""After so many lines a writer takes it easier: a slow machine need not check millions."""


SECTIONS = """
[[tail]]
name = "access"
as = "text"
paths = ["logs/access.log", "logs/access.log.*"]
parcel_age = 0.1

[[tail]]
name = "copied"
as = "text"
paths = ["logs/copied.log"]
parcel_age = 0.1
"""


class Writer:
    """Writes numbered lines, in bursts, a burst sometimes ending within a line."""

    def __init__(self, path: Path, random: Random) -> None:
        self.path, self.lines = path, list[bytes]()
        self._random = random
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._open()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def rename(self, name: str) -> None:
        """Rotates: renames the file, goes on in the old one for a moment, opens a new one."""
        self.path.rename(self.path.with_name(name))
        time.sleep(self._random.uniform(0, 0.05))
        with self._lock:
            os.close(self._file)
            self._open()

    def empty(self, read: Callable[[int], bool]) -> None:
        """Copies and truncates, once the agent has read all there is: else that loses lines."""
        with self._lock:
            size = self.path.stat().st_size
            wait_for(lambda: read(size), f"{size} bytes of {self.path.name} to be read")
            os.truncate(self.path, 0)

    def finish(self) -> None:
        """Ends."""
        self._stop.set()
        self._thread.join(10)
        os.close(self._file)

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _run(self) -> None:
        while not self._stop.wait(self._random.uniform(0.001, 0.02)):
            with self._lock:
                number = len(self.lines)
                count = self._random.choice((1, 3, 40, 300) if number < BUSY else (1, 2))
                padding = b"x" * self._random.randrange(80)
                lines = [
                    b"%b %07d %b" % (self.path.name.encode(), n, padding)
                    for n in range(number, number + count)
                ]
                self.lines += lines
                data = b"\n".join(lines) + b"\n"
                cut = self._random.randrange(len(data))
                os.write(self._file, data[:cut])
                os.write(self._file, data[cut:])


def test_fifty_kills_of_the_agent_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    random = Random(SEED)
    logs = tmp_path / "agent" / "logs"
    logs.mkdir(parents=True)
    with serving(tmp_path) as server:
        agent = Agent(tmp_path / "agent", server.url, SECTIONS, top="heads_every = 1")
        writers = [
            Writer(logs / "access.log", Random(random.random())),
            Writer(logs / "copied.log", Random(random.random())),
        ]
        try:
            kill_again_and_again(agent, server, writers, random)
            agent.start()
            wait_for(
                lambda: all_acknowledged(agent, logs),
                lambda: f"all lines to be acknowledged: {agent.status()}",
            )
            assert agent.stop() == 0, agent.printed()[-4000:]
        finally:
            agent.close()
        server.wait_indexed()
        assert_once_each(server, writers)
        assert_chained(server)


def kill_again_and_again(
    agent: Agent, server: MunimentServer, writers: list[Writer], random: Random
) -> None:
    """Kills the agent KILLS times, rotating meanwhile; the server too, now and then."""
    renamed, copied = writers
    for run in range(KILLS):
        if run % 10 == 5:
            agent.start()
            copied.empty(lambda size: position(agent, "copied.log") == size)
        else:
            agent.start(ready=bool(run % 3))
            time.sleep(random.uniform(0, 0.5 if run % 3 else 0.8))
        if run % 3 == 0:
            renamed.rename(f"access.log.{run:03d}")
        if run in SERVER_KILLS:
            server.kill()
        agent.kill()
        if run % 4 == 0:
            renamed.rename(f"access.log.{run:03d}.more")
        if run in SERVER_KILLS:
            server.start()
    for writer in writers:
        writer.finish()


def position(agent: Agent, name: str) -> int:
    """How much of a file the agent says that it has captured."""
    return positions(agent).get(name, -1)


def positions(agent: Agent) -> dict[str, int]:
    """How much of each file the agent that runs now says that it has captured."""
    status = agent.status()
    if not status or status["process"] != agent.process.pid:
        return {}
    streams = status["streams"].values()
    files = [file for one in streams for file in (one["position"] or {}).get("files", [])]
    found = {(file["device"], file["inode"]): file["offset"] for file in files}
    names = {}
    for path in (agent.config.parent / "logs").iterdir():
        named = path.stat()
        names[path.name] = int(found.get((named.st_dev, named.st_ino), -1))
    return names


def all_acknowledged(agent: Agent, directory: Path) -> bool:
    """Whether the agent has captured all there is, and nothing waits in the spool."""
    found = positions(agent)
    sizes = {path.name: path.stat().st_size for path in directory.iterdir()}
    return bool(found) and found == sizes and not agent.status()["spool"]["held"]


def captured(server: MunimentServer) -> list[tuple[dict, bytes]]:
    """The header and the bytes of each entry that came from the agent."""
    entries = [split_entry(entry) for entry in server.stored()]
    found = [(json.loads(header), raw) for header, raw in entries]
    return [(header, raw) for header, raw in found if header["via"] == "capture"]


def assert_once_each(server: MunimentServer, writers: list[Writer]) -> None:
    written = Counter(line for writer in writers for line in writer.lines)
    stored = Counter(raw for header, raw in captured(server) if header["as"] == "text")
    assert len(written) > 10_000, "the test wrote too little to say anything"
    assert not written - stored, f"{len(written - stored)} lines are lost"
    assert not stored - written, f"{len(stored - written)} lines are there twice, or are none"
    ((rows, different),) = server.sql(
        "SELECT count(*), count(DISTINCT hash(raw_data)) FROM events WHERE source = 'text'"
    )
    assert (rows, different) == (len(written), len(written))
    order = [raw for header, raw in captured(server) if header["stream"] == "lb1/copied"]
    lines = [raw for raw in order if raw.startswith(b"copied.log")]
    assert lines == sorted(lines), "one file's lines are in their order"


def assert_chained(server: MunimentServer) -> None:
    """Every stream's numbers are without gaps, each parcel names the right head, notes agree."""
    streams: dict[str, list[tuple[int, str, list[bytes]]]] = {}
    parcels = itertools.groupby(
        captured(server), lambda one: (one[0]["stream"], one[0]["seq"], one[0]["prev"])
    )
    for (stream, seq, prev), entries in parcels:
        streams.setdefault(stream, []).append((seq, prev, [raw for _, raw in entries]))
    heads: dict[tuple[str, int], bytes] = {}
    for stream, found in streams.items():
        head, next_ = first_head(stream), 1
        for seq, prev, records in sorted(found):
            assert (seq, prev) == (next_, head.hex()), (stream, seq)
            head = next_head(head, seq, len(records), payload_of(records))
            next_ += len(records)
            heads[stream, next_ - 1] = head
    notes = [json.loads(raw) for header, raw in captured(server) if b"capture.heads" in raw]
    assert notes
    for note in notes:
        signed = Note.parse(note["note"])
        signed.check([Verifier.parse(note["verifier"])])
        agent, said = read_heads(signed.text)
        assert agent == "lb1"
        assert all(heads[stream, head.last] == head.hash for stream, head in said.items())
