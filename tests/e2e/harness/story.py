"""What clients were promised over many crashes, and whether it was kept."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from random import Random

from muniment.trust.directory import verify_directory

from .server import MunimentServer, split_entry
from .writers import Kept, Sent, Writer

MOST = {"one": 1, "two": 1, "few": 20, "many": 3_000}
"""Writers by name, and the most entries that each puts into a request."""


class Story:
    """What was acknowledged over all runs, and what was sent without an answer."""

    def __init__(self, server: MunimentServer, seed: int) -> None:
        self.server = server
        self.random = Random(seed)
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
