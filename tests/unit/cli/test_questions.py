"""`search`, `sql` and `tail`: what a person sees, and what a program gets."""

from __future__ import annotations

import json

import pytest

from .conftest import Run
from .fake_server import Answer, FakeServer

ROW = {
    "log": "default",
    "shard": "0a1b2c3d",
    "index": 41,
    "time": 1,
    "time_dt": "2026-01-02T03:04:05.678901Z",
    "source": "haproxy",
    "class_uid": 4002,
    "http_request": {"http_method": "GET", "url": {"path": "/api/x", "query_string": "a=b"}},
    "http_response": {"code": 503},
    "src_endpoint": {"ip": "10.0.0.1"},
    "load_balancer": {"name": "web", "dst_endpoint": {"name": "w1", "svc_name": "web"}},
    "duration": 12,
    "raw_data": "the line",
}
ODD = {
    "log": "default",
    "shard": "0a1b2c3d",
    "index": 42,
    "time_dt": "2026-01-02T03:04:06Z",
    "source": "haproxy",
    "class_uid": 0,
    "parse_error": "no date",
    "raw_data": "\x1b[31mred [bold]alert[/bold] \u202e\n" + "x" * 1000,
}


def page(rows: list[dict], next_: str | None = None, **more: object) -> dict:
    return {"rows": rows, "next": next_, "indexed": {}, "lag": 0, "partial": False, **more}


def test_rows_are_readable_at_80_columns(run: Run, fake: FakeServer, url: str) -> None:
    fake.search_pages = [page([ROW, ODD])]
    result = run("search", "status:503", "--url", url)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "2026-01-02 03:04:05.678Z 503 GET /api/x?a=b 10.0.0.1 → web/w1 12 ms"
    assert lines[1] == "  default/0a1b2c3d/41 · haproxy"
    assert max(map(len, lines)) <= 80
    assert "not parsed: no date" in result.stdout


def test_what_strangers_sent_cannot_steer_the_terminal(
    run: Run, fake: FakeServer, url: str
) -> None:
    fake.search_pages = [page([ODD])]
    shown = run("search", "--url", url).stdout
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "\\x1b[31mred [bold]alert[/bold] \\u202e" in shown.replace("\n", "")


def test_json_is_one_row_a_line_with_all_of_it(run: Run, fake: FakeServer, url: str) -> None:
    fake.search_pages = [page([ROW], "1", lag=3), page([ODD], lag=3)]
    result = run("search", "--json", "--url", url)
    assert [json.loads(line) for line in result.stdout.splitlines()] == [ROW, ODD]
    assert "3 entries cannot be searched yet" in result.stderr


def test_the_question_reaches_the_server_as_it_is(run: Run, fake: FakeServer, url: str) -> None:
    fake.search_pages = [page([])]
    question = 'path:/a&b "x=y" ünï'
    arguments = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
    result = run("search", question, *arguments, "--limit", 7, "--order", "oldest", "--url", url)
    assert result.stderr == "nothing found\n"
    asked = fake.requests[-1].query
    assert asked == {
        "q": question,
        "from": "2026-01-01T00:00:00.000Z",
        "to": "2026-01-02T00:00:00.000Z",
        "limit": "7",
        "order": "oldest",
    }


def test_no_more_rows_than_asked_for(run: Run, fake: FakeServer, url: str) -> None:
    fake.search_pages = [page([ROW], "1"), page([ROW], "2")]
    result = run("search", "--limit", 2, "--json", "--url", url)
    assert len(result.stdout.splitlines()) == 2
    assert "the limit of 2 rows" in result.stderr
    assert [request.query["limit"] for request in fake.requests] == ["2", "1"]


def test_a_wrong_question_is_one_clear_line(run: Run, fake: FakeServer, url: str) -> None:
    problem = Answer.problem(400, "bad-query", "column 8: a ) is missing", advice="close it")
    fake.routes["/api/v1/logs/default/search"] = lambda _request: problem
    result = run("search", "(a", "--url", url)
    assert result.exit_code == 2
    assert result.stderr == "error: column 8: a ) is missing\n       close it\n"


@pytest.mark.parametrize("arguments", [["--from", "soon"], ["--limit", "0"], ["a", "b"]])
def test_wrong_use_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    assert run("search", *arguments).exit_code == 2


def table(columns: list[str], rows: list[list[object]], **more: object) -> Answer:
    named = [{"name": name, "type": "VARCHAR"} for name in columns]
    return Answer.json({"columns": named, "rows": rows, "truncated": False, **more})


def test_sql_gives_a_table(run: Run, fake: FakeServer, url: str) -> None:
    fake.sql_answer = table(["source", "n"], [["haproxy", 12], [None, 7]])
    result = run("sql", "SELECT 1", "--url", url)
    assert [line.split() for line in result.stdout.splitlines() if line.strip()][2:] == [
        ["haproxy", "12"],
        ["7"],
    ]
    assert json.loads(fake.requests[-1].body) == {
        "query": "SELECT 1",
        "log": "default",
        "limit": 1000,
    }


def test_sql_rows_that_are_too_wide_are_shown_one_value_a_line(
    run: Run, fake: FakeServer, url: str
) -> None:
    fake.sql_answer = table(["a", "b"], [["x" * 70, "y" * 70]])
    lines = run("sql", "SELECT 1", "--url", url).stdout.splitlines()
    assert lines == ["row 1", "  a: " + "x" * 70, "  b: " + "y" * 70]


def test_sql_as_json_and_as_csv(run: Run, fake: FakeServer, url: str) -> None:
    fake.sql_answer = table(["a", "b"], [["x,\ny", {"c": [1]}], [None, True]], truncated=True)
    result = run("sql", "SELECT 1", "--json", "--url", url)
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"a": "x,\ny", "b": {"c": [1]}},
        {"a": None, "b": True},
    ]
    assert "the limit of 2 rows" in result.stderr
    result = run("sql", "SELECT 1", "--csv", "--url", url)
    assert result.stdout_bytes == b'a,b\r\n"x,\ny","{""c"":[1]}"\r\n,true\r\n'
    assert run("sql", "SELECT 1", "--csv", "--json", "--url", url).exit_code == 2


def test_sql_can_come_from_standard_input(run: Run, fake: FakeServer, url: str) -> None:
    run("sql", "-", "--url", url, text="SELECT 2")
    assert json.loads(fake.requests[-1].body)["query"] == "SELECT 2"


def event(index: int, row: dict | None = None) -> bytes:
    data = json.dumps({**(row or ROW), "index": index}, ensure_ascii=False)
    return f"event: entry\nid: 0a1b2c3d:{index}\ndata: {data}\n\n".encode()


def test_tail_goes_on_after_a_break_from_where_it_was(run: Run, fake: FakeServer, url: str) -> None:
    fake.log.entries = [b"{}\nx"] * 5
    odd = event(6, {**ROW, "raw_data": "\u2028 \x85 and a half event"})
    fake.streams.extend([[b": hello\n\n", event(5), odd[:-4]], [event(6), event(7)]])
    result = run("tail", "status:503", "--json", "-n", 3, "--url", url)
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["index"] for line in result.stdout.splitlines()] == [5, 6, 7]
    first, second = [r for r in fake.requests if r.path.endswith("/tail")]
    assert first.query["q"] == "status:503"
    assert first.headers["last-event-id"] == "0a1b2c3d:4"
    assert second.headers["last-event-id"] == "0a1b2c3d:5"


def test_tail_shows_a_line_an_event(run: Run, fake: FakeServer, url: str) -> None:
    fake.streams.append([event(0)])
    shown = run("tail", "-n", 1, "--url", url).stdout
    assert shown == "2026-01-02 03:04:05.678Z 503 GET /api/x?a=b 10.0.0.1 → web/w1 12 ms\n"


def test_tail_ends_where_the_query_is_refused(run: Run, fake: FakeServer, url: str) -> None:
    result = run("tail", "((", "--url", url)
    assert result.exit_code == 2
    assert "no more streams are prepared" in result.stderr
