"""The log never waits for its index: kill -9 of the query process costs nobody an entry."""

from __future__ import annotations

import os
import signal
import time
from random import Random

from .harness.process import alive
from .harness.server import MunimentServer
from .harness.waiting import wait_for
from .harness.writers import Writer

KILLS = 4


def test_writing_goes_on_and_no_row_is_lost_or_doubled(muniment_server: MunimentServer) -> None:
    server, random = muniment_server, Random(7)
    writer = Writer("steady", server.url, 400, random)
    writer.start()
    for _ in range(KILLS):
        pid = server.query_pid
        time.sleep(random.uniform(0.1, 1.5))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not alive(pid), "the query process to die")
        before = len(writer.kept)
        wait_for(lambda n=before: len(writer.kept) > n, "an acknowledgement meanwhile")
        wait_for(lambda pid=pid: server.query_pid != pid, "another query process")
    writer.finish()
    assert not writer.refused

    server.wait_indexed()

    size = server.shard()["size"]
    assert size == sum(len(kept.sent.lines) for kept in writer.kept)
    statement = "SELECT count(*), count(DISTINCT index), min(index), max(index) FROM events"
    assert server.sql(statement) == [[size, size, 0, size - 1]]
    places = {index: line for kept in writer.kept for index, line in kept.places().items()}
    rows = server.sql("SELECT index, raw_data FROM events ORDER BY random() LIMIT 500")
    assert {index: raw.encode() for index, raw in rows} == {i: places[i] for i, _ in rows}


def test_a_search_while_it_is_away_says_so_and_comes_back(
    muniment_server: MunimentServer,
) -> None:
    server = muniment_server
    server.accepted(b"needle in the log")
    server.wait_indexed()
    os.kill(server.query_pid, signal.SIGKILL)

    def answered() -> list[int]:
        answer = server.http.get("/api/v1/logs/default/search", params={"q": "needle"})
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"].startswith("application/problem+json")
        return [200] if answer.status_code == 200 else []

    wait_for(answered, "search to come back")
    assert server.accepted(b"another")["first"] == 1
    (row,) = server.search("needle")["rows"]
    assert row["index"] == 0
