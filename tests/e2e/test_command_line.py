"""The command line against a running server: what HAProxy logged is found, counted, followed."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from pathlib import Path

from .conftest import Edge
from .harness.cli import muniment
from .harness.load import ab, exchange, request
from .harness.process import Process
from .harness.rows import assert_fields
from .harness.server import MunimentServer
from .harness.waiting import wait_for


def test_search_and_sql_answer_what_was_asked_of_haproxy(edge: Edge, tmp_path: Path) -> None:
    path = f"/cli/{uuid.uuid4().hex}"
    done = ab(edge.haproxy.url("web", path), 40)
    query = f"path:{path} via:syslog-udp"
    wait_for(lambda: len(list(edge.muniment.rows(f"path:{path}"))) == 2 * done, "the rows")
    at = ["--url", edge.muniment.url]

    status, printed = muniment("search", query, "--json", "--limit", 100, *at, cwd=tmp_path)
    assert status == 0, printed
    rows = [json.loads(line) for line in printed.splitlines()]
    assert len(rows) == done
    for row in rows:
        assert_fields(row, {"http_request.url.path": path, "http_response.code": 200})

    statement = f"SELECT count(*) AS n FROM events WHERE http_request.url.path = '{path}'"
    status, printed = muniment("sql", statement, "--json", *at, cwd=tmp_path)
    assert (status, json.loads(printed)) == (0, {"n": 2 * done})


def test_tail_shows_a_request_as_it_comes(edge: Edge, tmp_path: Path) -> None:
    path = f"/tail/{uuid.uuid4().hex}"
    command = [sys.executable, "-m", "muniment", "tail", f"path:{path}", "-n", "1", "--json"]
    tail = Process([*command, "--url", edge.muniment.url], tmp_path / "tail.txt")
    try:

        def followed() -> bool:
            exchange(edge.haproxy.ports["web"], request(path))
            return not tail.running

        wait_for(followed, "tail to show a request and end")
    finally:
        status = tail.stop()
    assert status == 0, tail.printed()
    (line,) = tail.printed().splitlines()
    assert_fields(json.loads(line), {"http_request.url.path": path, "http_response.code": 200})


def test_the_index_is_rebuilt_from_the_log_alone(
    muniment_server: MunimentServer, tmp_path: Path
) -> None:
    server = muniment_server
    for batch in range(3):
        server.accepted(b"\n".join(b'{"n":%d}' % (1_000 * batch + n) for n in range(1_000)))
    server.wait_indexed()
    question = "SELECT count(*), min(index), max(index), count(DISTINCT raw_data) FROM events"
    before = server.sql(question)
    server.stop()

    status, printed = muniment("index", "rebuild", "--data", server.data, cwd=tmp_path)
    assert status == 0, printed
    server.start()
    server.wait_indexed()
    assert server.sql(question) == before == [[3_000, 0, 2_999, 3_000]]

    server.stop()
    shutil.rmtree(server.data / "index")  # disposable indeed
    server.start()
    server.wait_indexed()
    assert server.sql(question) == before


def test_doctor_finds_a_healthy_server_healthy(
    muniment_server: MunimentServer, tmp_path: Path
) -> None:
    at = ["--data", muniment_server.data, "--url", muniment_server.url]
    syslog = ["--syslog", f"127.0.0.1:{muniment_server.syslog_port}"]

    status, printed = muniment("doctor", *at, *syslog, cwd=tmp_path)
    assert status == 0, printed

    muniment_server.kill()
    status, printed = muniment("doctor", *at, *syslog, cwd=tmp_path)
    assert status in (0, 1), printed
