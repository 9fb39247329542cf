"""`muniment send`: every line arrives once, in order, whatever breaks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from .conftest import Run
from .fake_server import Answer, FakeServer, lose_answer, lose_request, refuse, serving


def numbered(first: int, stop: int) -> list[bytes]:
    return [b"line %07d of the log, filled up to some length" % n for n in range(first, stop)]


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "a.log", numbered(0, 50_000))


def test_a_file_arrives_whole_and_in_order(run: Run, fake: FakeServer, url: str, log: Path) -> None:
    result = run("send", log, "--as", "haproxy", "--url", url)
    assert result.exit_code == 0, result.output
    assert fake.lines == numbered(0, 50_000)
    assert "sent 50,000 entries" in result.output
    assert "default/0a1b2c3d 0..49999" in result.output
    assert len(fake.writes) > 2
    assert len({write.headers["idempotency-key"] for write in fake.writes}) == len(fake.writes)
    assert {write.query["as"] for write in fake.writes} == {"haproxy"}
    assert {write.headers["content-type"] for write in fake.writes} == {"text/plain"}


@pytest.mark.parametrize(
    "fault",
    [
        refuse(429, "overloaded"),
        refuse(503, "unavailable"),
        refuse(502, "x", None),
        lose_request,
        lose_answer,
    ],
)
def test_what_fails_for_now_is_sent_again_without_duplicates(
    run: Run, fake: FakeServer, url: str, log: Path, fault: object
) -> None:
    fake.faults.extend([fault, fault])  # type: ignore[list-item]
    result = run("send", log, "--as", "haproxy", "--url", url)
    assert result.exit_code == 0, result.output
    assert fake.lines == numbered(0, 50_000)
    first, second, third, *_ = fake.writes
    assert first.headers["idempotency-key"] == third.headers["idempotency-key"]
    assert first.body == second.body == third.body


def test_a_server_that_is_gone_is_given_up_and_the_rest_is_sent_next_time(
    run: Run, fake: FakeServer, log: Path
) -> None:
    with serving(fake) as url:
        port = int(url.rpartition(":")[2])
        fake.faults.extend([lambda _request, next_: next_(), *[lose_answer] * 100])
        broken = run("send", log, "--as", "haproxy", "--url", url, "--retry-for", "0.5")
    assert broken.exit_code == 1
    assert "cannot be reached" in broken.output
    assert 0 < len(fake.lines) < 50_000
    write(log, numbered(0, 60_000))  # the same file, and more
    fake.faults.clear()
    with serving(fake, port) as url:
        assert run("send", log, "--as", "haproxy", "--url", url).exit_code == 0
    assert fake.lines == numbered(0, 60_000)


def test_nobody_there_is_exit_code_1_and_says_where(run: Run, log: Path) -> None:
    result = run("send", log, "--as", "x", "--url", "http://127.0.0.1:9", "--retry-for", "0.1")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9 cannot be reached" in result.output
    assert "Traceback" not in result.output


def test_a_file_that_was_sent_is_not_sent_again_but_its_growth_is(
    run: Run, fake: FakeServer, url: str, log: Path
) -> None:
    send = ("send", log, "--as", "haproxy", "--url", url)
    run(*send)
    second = run(*send)
    assert second.exit_code == 0 and "nothing new" in second.output
    with log.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in numbered(50_000, 50_010)))
    assert "50000..50009" in run(*send).output
    assert fake.lines == numbered(0, 50_010)
    assert run(*send, "--again").exit_code == 0
    assert fake.lines == numbered(0, 50_010) * 2


def test_a_rotated_file_goes_on_under_its_new_name(
    run: Run, fake: FakeServer, url: str, log: Path
) -> None:
    send = ("--as", "haproxy", "--url", url)
    run("send", log, *send)
    older = log.rename(log.with_name("a.log.1"))
    with older.open("ab") as file:
        file.write(b"the last line before rotation\n")
    write(log, numbered(60_000, 60_005))
    assert run("send", older, log, *send).exit_code == 0
    last = [b"the last line before rotation", *numbered(60_000, 60_005)]
    assert fake.lines == numbered(0, 50_000) + last


def test_a_file_that_was_emptied_and_written_anew_is_sent_from_its_beginning(
    run: Run, fake: FakeServer, url: str, log: Path
) -> None:
    send = ("send", log, "--as", "haproxy", "--url", url)
    run(*send)
    inode = log.stat().st_ino
    write(log, numbered(70_000, 70_003))
    assert log.stat().st_ino == inode
    result = run(*send)
    assert "not the content that was sent before" in result.output
    assert fake.lines[50_000:] == numbered(70_000, 70_003)


def test_another_log_at_the_same_address_gets_the_whole_file(run: Run, log: Path) -> None:
    first, second = FakeServer(), FakeServer()
    second.log.shard = "ffffffff"
    with serving(first) as url:
        port = int(url.rpartition(":")[2])
        run("send", log, "--as", "haproxy", "--url", url)
    with serving(second, port) as url:
        result = run("send", log, "--as", "haproxy", "--url", url)
    assert "not the one that it was sent to before" in result.output
    assert second.lines == numbered(0, 50_000)


def test_a_log_that_lost_acknowledged_entries_is_an_alarm(
    run: Run, fake: FakeServer, url: str, log: Path
) -> None:
    run("send", log, "--as", "haproxy", "--url", url)
    del fake.log.entries[40_000:]
    result = run("send", log, "--as", "haproxy", "--url", url)
    assert result.exit_code == 1
    assert "acknowledged 50,000 entries and now holds 40,000" in result.output


def test_a_last_line_without_newline_is_sent_and_its_newline_later_is_no_entry(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo")
    send = ("send", path, "--as", "x", "--url", url)
    run(*send)
    assert fake.lines == [b"one", b"two"]
    with path.open("ab") as file:
        file.write(b"\nthree\n")
    run(*send)
    assert fake.lines == [b"one", b"two", b"three"]


def test_the_rest_of_a_line_that_was_sent_unfinished_is_kept_and_reported(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntw")
    send = ("send", path, "--as", "x", "--url", url)
    run(*send)
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    result = run(*send)
    assert "line 2 was not finished when it was sent" in result.output
    assert fake.lines == [b"one", b"tw", b"o", b"three"]


def test_a_refused_line_is_named_and_nothing_before_it_is_lost(
    run: Run, fake: FakeServer, url: str, log: Path
) -> None:
    bad = {numbered(30_000, 30_001)[0], numbered(30_002, 30_003)[0]}
    fake.bad_line = lambda line: "not to my taste" if line in bad else None
    send = ("send", log, "--as", "haproxy", "--url", url)
    result = run(*send)
    assert result.exit_code == 1
    assert f"{log}, line 30,001: not to my taste" in result.output
    assert "--skip-bad" in result.output
    assert fake.lines == numbered(0, 30_000)

    result = run(*send, "--skip-bad", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [skipped["line"] for skipped in found["skipped"]] == [30_001, 30_003]
    assert found["entries"] == 19_998
    expected = numbered(0, 30_000) + numbered(30_001, 30_002) + numbered(30_003, 50_000)
    assert fake.lines == expected


def test_a_line_that_no_entry_can_hold_is_named(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.log", [b"one", b"x" * 70_000, b"three", b"y" * 3_000_000, b"five"])
    send = ("send", path, "--as", "x", "--url", url)
    result = run(*send)
    assert result.exit_code == 1
    assert "line 2: 70,000 bytes, more than the 65,535 of an entry" in result.output
    assert fake.lines == [b"one"]
    result = run(*send, "--skip-bad")
    assert result.exit_code == 0
    assert "2 lines skipped" in result.output
    assert fake.lines == [b"one", b"three", b"five"]


def test_a_server_that_takes_less_at_once_gets_less_at_once(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    fake.max_body = 10_000
    log = write(tmp_path / "a.log", numbered(0, 5_000))
    assert run("send", log, "--as", "haproxy", "--url", url).exit_code == 0
    assert fake.lines == numbered(0, 5_000)


def test_a_single_line_over_the_servers_bound_is_a_bad_line(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    fake.max_body = 1_000
    path = write(tmp_path / "a.log", [b"one", b"x" * 2_000, b"three"])
    result = run("send", path, "--as", "x", "--url", url)
    assert result.exit_code == 1 and "line 2: the body is too large" in result.output
    assert fake.lines == [b"one"]


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl", "a.ndjson.gz"])
def test_files_of_json_lines_are_sent_as_such(
    run: Run, fake: FakeServer, url: str, tmp_path: Path, name: str
) -> None:
    data = b'{"a":1}\n\n{"a":2}\n  \n{"a":3}'
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    result = run("send", tmp_path / name, "--as", "json", "--url", url)
    assert result.exit_code == 0, result.output
    assert fake.lines == [b'{"a":1}', b'{"a":2}', b'{"a":3}']
    assert fake.writes[0].headers["content-type"] == "application/x-ndjson"


def test_a_compressed_file_is_resumed_in_its_content(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.log.gz"
    lines = [b"line %d %d" % (n, n * n * 7919) for n in range(60_000)]
    whole = gzip.compress(b"".join(line + b"\n" for line in lines))
    path.write_bytes(whole[:-100])
    send = ("send", path, "--as", "x", "--url", url)
    broken = run(*send)
    assert broken.exit_code == 1 and "cut short" in broken.output
    sent = len(fake.lines)
    assert sent and fake.lines == lines[:sent]
    with path.open("r+b") as file:
        file.write(whole)
    assert run(*send).exit_code == 0
    assert fake.lines == lines


def test_standard_input_is_sent(run: Run, fake: FakeServer, url: str) -> None:
    assert run("send", "-", "--as", "x", "--url", url, text=b"one\ntwo\n").exit_code == 0
    assert run("send", "-", "--as", "x", "--url", url, text=b"one\ntwo\n").exit_code == 0
    assert fake.lines == [b"one", b"two"] * 2


def test_one_bad_file_does_not_hold_up_the_others(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.gz").write_bytes(b"plain")
    good = write(tmp_path / "good.log", [b"one"])
    result = run("send", tmp_path / "bad.gz", good, "--as", "x", "--url", url)
    assert result.exit_code == 1 and "damaged" in result.output
    assert fake.lines == [b"one"]


def test_the_same_file_named_twice_is_sent_once(
    run: Run, fake: FakeServer, url: str, log: Path
) -> None:
    assert run("send", log, log, "--as", "x", "--url", url).exit_code == 0
    assert fake.lines == numbered(0, 50_000)


def test_a_token_that_may_only_write_is_enough(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    denied = Answer.problem(403, "forbidden", "this token may not read")
    fake.routes["/api/v1/logs"] = lambda _request: denied
    path = write(tmp_path / "a.log", [b"one"])
    for _ in range(2):
        assert run("send", path, "--as", "x", "--url", url).exit_code == 0
    assert fake.lines == [b"one"]


def test_the_last_receipt_is_kept_when_asked(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    path, receipt = write(tmp_path / "a.log", [b"one", b"two"]), tmp_path / "receipt.json"
    run("send", path, "--as", "x", "--url", url, "--receipt", receipt)
    assert json.loads(receipt.read_text())["receipt"] == fake.log.checkpoint()


def test_an_acknowledgement_of_another_number_of_entries_is_an_error(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    wrong = {"log": "default", "shard": "s", "first": 0, "count": 1, "receipt": ""}
    fake.faults.append(lambda _request, _next: Answer.json(wrong, 201))
    result = run("send", write(tmp_path / "a.log", [b"1", b"2"]), "--as", "x", "--url", url)
    assert result.exit_code == 1
    assert "acknowledged 1 entries of 2" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.log"], "--as"),
        (["nowhere.log", "--as", "x"], "nowhere.log"),
        (["a.log", "--as", "No Source"], "a-z"),
        (["a.log", "--as", "x", "--url", "localhost:8470"], "http://"),
        (["a.log", "--as", "x", "--log", "../x"], "no name of a log"),
        ([], "FILE"),
    ],
)
def test_wrong_use_is_exit_code_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.log", [b"one"])
    result = run("send", *arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_an_unknown_log_is_named(run: Run, url: str, log: Path) -> None:
    result = run("send", log, "--as", "x", "--log", "other", "--url", url)
    assert result.exit_code == 1
    assert "has no log 'other'; it has: default" in result.output


def test_a_token_is_shown_when_given_and_missed_when_not(
    run: Run, fake: FakeServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.token = "mun_secret"
    path = write(tmp_path / "a.log", [b"one"])
    refused = run("send", path, "--as", "x", "--url", url)
    assert refused.exit_code == 1 and "MUNIMENT_TOKEN" in refused.output
    monkeypatch.setenv("MUNIMENT_TOKEN", "mun_secret")
    assert run("send", path, "--as", "x", "--url", url).exit_code == 0
    assert fake.lines == [b"one"]
