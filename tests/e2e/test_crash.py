"""Nothing acknowledged is lost: kill -9 at random moments, again and again, under load."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from muniment.trust.directory import verify_directory

from .harness.process import Process
from .harness.server import LOG, MunimentServer, serving, split_entry
from .harness.waiting import wait_for
from .harness.writers import Kept, Sent, Writer

RUNS = 50
SEED = 20_261_121
MOST = {"one": 1, "two": 1, "few": 20, "many": 3_000}


class Story:
    """What was acknowledged over all runs, and what was sent without an answer."""

    def __init__(self, server: MunimentServer) -> None:
        self.server = server
        self.random = Random(SEED)
        self.kept: list[Kept] = []
        self.receipts: list[str] = []
        self.repeated = 0

    def crash(self, run: int) -> list[Sent]:
        """Writes with several clients, kills the server meanwhile; returns unanswered batches."""
        writers = [
            Writer(f"run{run}-{name}", self.server.url, most, Random(self.random.random()))
            for name, most in MOST.items()
        ]
        for writer in writers:
            writer.start()
        time.sleep(self.random.uniform(0.02, 0.6))
        self.server.kill()
        for writer in writers:
            writer.finish()
            assert not writer.refused, writer.refused[0].text
            assert_in_order(writer.kept)
            self.kept += writer.kept
        newest = max((k for w in writers for k in w.kept), key=lambda k: k.first, default=None)
        if newest is not None:
            self.receipts.append(newest.answer["receipt"])
        lost = [writer.unanswered for writer in writers]
        return [sent for sent in lost if sent is not None and sent.key is not None]

    def come_back(self, run: int) -> None:
        """Starts the server again; now and then it is killed while it starts."""
        if run % 5 == 0:
            self.server.start(ready=False)
            time.sleep(self.random.uniform(0.1, 2.0))
            self.server.kill()
        self.server.start()

    def repeat(self, batches: list[Sent]) -> None:
        """Sends unanswered batches again, twice, and one that had been answered."""
        for sent in batches:
            first, second = sent.post(self.server.http), sent.post(self.server.http)
            assert (first.status_code, second.status_code) == (201, 201), second.text
            assert same_place(first.json(), second.json())
            assert second.headers["idempotency-replayed"] == "true"
            self.repeated += first.headers.get("idempotency-replayed") == "true"
            self.kept.append(Kept(sent, first.json()))
        known = [kept for kept in self.kept if kept.sent.key is not None]
        if known:
            kept = self.random.choice(known)
            again = kept.sent.post(self.server.http)
            assert again.headers.get("idempotency-replayed") == "true", again.text
            assert same_place(kept.answer, again.json())

    def check(self, since: int) -> None:
        """Every entry acknowledged with an index from `since` on is there, byte for byte."""
        stored = self.server.stored(since)
        for kept in self.kept:
            for index, line in kept.places().items():
                if index >= since:
                    assert split_entry(stored[index - since])[1] == line, (index, kept)
        if not self.kept:
            return
        newest = self.kept[-1]
        entry = self.server.entry(newest.first, newest.answer["shard"])
        assert split_entry(entry)[1] == newest.sent.lines[0]

    def verify(self) -> None:
        """The whole directory is intact and goes on from every receipt that was given."""
        report = verify_directory(self.server.data, trust=self.receipts)
        assert report.intact, "\n".join(map(str, report.findings))


def test_fifty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        story = Story(server)
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


def assert_in_order(kept: list[Kept]) -> None:
    for earlier, later in itertools.pairwise(kept):
        assert earlier.first + len(earlier.sent.lines) <= later.first, (earlier, later)
    for one in kept:
        assert one.answer["count"] == len(one.sent.lines)


def same_place(one: dict, other: dict) -> bool:
    names = ("log", "shard", "first", "count")
    return all(one[name] == other[name] for name in names)


def assert_nothing_twice(server: MunimentServer) -> None:
    """Recovery's own records aside, no bytes stand in the log more than once."""
    entries = [split_entry(entry) for entry in server.stored()]
    lines = Counter(raw for header, raw in entries if b'"via":"http"' in header)
    assert [line for line, count in lines.items() if count > 1] == []
    others = {json.loads(header)["as"] for header, _ in entries if b'"via":"http"' not in header}
    assert others <= {"muniment", "muniment.cut"}


def wait_for_query_processes_to_end(server: MunimentServer) -> None:
    """Only the living server has a query process; those of the killed ones noticed."""
    data = str(server.data).encode()

    def others() -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes()
            except OSError:
                continue
            if data in command and b"muniment.query" in command:
                found.append(int(path.parent.name))
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
