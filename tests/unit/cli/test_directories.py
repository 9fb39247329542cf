"""`verify DIR`, `index rebuild` and `doctor`: commands that look at files."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from muniment.cli.diagnosis import machine
from muniment.kernel import pack_lines
from muniment.log import Batch, Shard
from muniment.log.note import Signer

from .conftest import Run
from .fake_server import Answer, FakeServer

SHARD = "0a1b2c3d"
HEADER = b'{"at":"2026-01-02T03:04:05.000000Z","via":"http","as":"json"}\n'
SIGNER = Signer(f"muniment.local/default/{SHARD}", b"k" * 32)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory's evidence: 600 entries in one shard."""
    shard = tmp_path / "data" / "logs" / "default" / SHARD
    shard.parent.mkdir(parents=True)
    Shard.create(shard, SIGNER)
    opened = Shard.open(shard, SIGNER, log="default")
    body = b"".join(b'{"time":"2026-01-02T03:04:05Z","message":"m %d"}\n' % n for n in range(600))
    acknowledgement = opened.submit(Batch(pack_lines(body, HEADER))).result()
    (tmp_path / "receipt").write_text(acknowledgement.receipt)
    opened.close()
    return tmp_path / "data"


@pytest.fixture
def shard(data: Path) -> Path:
    return data / "logs" / "default" / SHARD


@pytest.fixture
def held(data: Path) -> Iterator[None]:
    """The directory is claimed as by a running server."""
    handle = os.open(data, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield
    os.close(handle)


def test_an_intact_shard_is_exit_code_0(run: Run, shard: Path, tmp_path: Path) -> None:
    result = run("verify", shard, "--trust", tmp_path / "receipt")
    assert result.exit_code == 0, result.output
    assert f"muniment.local/default/{SHARD}: intact" in result.output
    assert "600 entries" in result.output
    found = json.loads(run("verify", shard, "--json").stdout)
    assert found["intact"] is True
    assert (found["shards"][0]["size"], found["findings"]) == (600, [])


def test_a_flipped_bit_is_exit_code_1_with_file_and_offset(run: Run, shard: Path) -> None:
    (segment,) = shard.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.chmod(0o600)
    segment.write_bytes(content)
    result = run("verify", shard)
    assert result.exit_code == 1
    assert f"! {segment}, byte " in result.output and "NOT INTACT" in result.output
    (finding, *_) = json.loads(run("verify", shard, "--json").stdout)["findings"]
    assert finding["file"] == str(segment) and finding["offset"] is not None


def test_another_key_than_the_one_known_is_a_finding(run: Run, shard: Path, home: Path) -> None:
    other = str(Signer(SIGNER.verifier.name, b"x" * 32).verifier)
    assert run("verify", shard, "--key", str(SIGNER.verifier)).exit_code == 0
    assert run("verify", shard, "--key", other).exit_code == 1
    known = home / "config" / "muniment" / "known_keys"
    known.parent.mkdir(parents=True)
    known.write_text(other + "\n")
    assert run("verify", shard).exit_code == 1


def test_what_cannot_be_looked_at_is_exit_code_2(run: Run, shard: Path, tmp_path: Path) -> None:
    assert run("verify", tmp_path / "nowhere").exit_code == 2
    assert run("verify", tmp_path / "receipt").exit_code == 2
    assert run("verify", shard, "--trust", tmp_path / "nothing").exit_code == 2
    assert run("verify", shard, "--key", "nonsense").exit_code == 2
    assert run("verify", shard, "--jobs", "0").exit_code == 2


def test_the_index_is_rebuilt_from_the_evidence(run: Run, data: Path) -> None:
    for arguments in ([], ["default"], ["--log", "default"]):
        result = run("index", "rebuild", "--data", data, *arguments)
        assert result.exit_code == 0, result.output
        assert result.output == "default: 600 entries indexed\n"
    assert (data / "index" / "default").is_dir()


def test_the_index_is_not_rebuilt_under_a_running_server(run: Run, data: Path, held: None) -> None:
    result = run("index", "rebuild", "--data", data)
    assert result.exit_code == 2
    assert "a server is running on it" in result.output and "stop the server" in result.output
    assert not (data / "index").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "no data directory"),
        (["--log", "other"], "no log other"),
        (["one", "--log", "two"], "exclude each other"),
    ],
)
def test_index_rebuild_says_what_is_wrong(
    run: Run, data: Path, arguments: list[str], says: str
) -> None:
    result = run("index", "rebuild", "--data", data, *arguments)
    assert result.exit_code == 2 and says in result.output


def checks(run: Run, *arguments: object) -> tuple[int, dict[str, tuple[str, str]]]:
    result = run("doctor", "--json", "--syslog", "off", *arguments)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, {row["check"]: (row["result"], row["detail"]) for row in rows}


def test_doctor_of_a_running_server(run: Run, fake: FakeServer, url: str, data: Path) -> None:
    data.chmod(0o700)
    code, found = checks(run, "--data", data, "--url", url)
    assert code == 0
    for name in ("python", "kernel", "data directory", "server", "readiness", "index", "access"):
        assert found[name][0] == "ok", (name, found[name])
    fake.token = "secret"
    assert checks(run, "--data", data, "--url", url)[1]["access"][0] == "warn"
    shown = run("doctor", "--data", data, "--url", url, "--syslog", "off")
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_doctor_of_a_server_that_fails(run: Run, fake: FakeServer, url: str, data: Path) -> None:
    lagging = {"ready": True, "shards": [], "search": {"ok": True, "a": {"lag": 20_000}}}
    fake.routes["/readyz"] = lambda _request: Answer.json(lagging)
    assert checks(run, "--data", data, "--url", url)[1]["index"][0] == "warn"
    down = {"ready": True, "shards": [], "search": {"ok": False, "reason": "it ended"}}
    fake.routes["/readyz"] = lambda _request: Answer.json(down)
    code, found = checks(run, "--data", data, "--url", url)
    assert (code, found["index"][0]) == (1, "fail") and "it ended" in found["index"][1]
    full = Answer.problem(503, "storage-failing", "default: no space left on device")
    fake.routes["/readyz"] = lambda _request: full
    code, found = checks(run, "--data", data, "--url", url)
    assert code == 1 and "no space left" in found["readiness"][1]


def test_doctor_of_an_edge(run: Run, fake: FakeServer, url: str, data: Path) -> None:
    data.chmod(0o700)
    fake.routes["/readyz"] = lambda _request: Answer.json({"ready": True})
    code, found = checks(run, "--data", data, "--url", url)
    assert code == 0 and "an edge" in found["readiness"][1] and "index" not in found


def test_doctor_before_the_first_start(run: Run, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    code, found = checks(run, "--data", tmp_path / "d", "--url", f"http://127.0.0.1:{port}")
    assert (code, found["server"][0], found["port"][0]) == (0, "warn", "ok")
    assert "first start makes it" in found["data directory"][1]
    assert not (tmp_path / "d").exists()


def test_doctor_names_a_port_that_something_else_has(run: Run, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        address = ("--url", "http://127.0.0.1:9", "--syslog", f"127.0.0.1:{port}")
        result = run("doctor", "--json", "--data", data, *address)
    rows = {row["check"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == 1
    assert "Address already in use" in rows["syslog port"]["detail"]


def test_doctor_names_files_that_others_can_read(run: Run, url: str, data: Path) -> None:
    key = data / "keys" / f"default.{SHARD}.key"
    key.parent.mkdir()
    key.write_text(SIGNER.export())
    key.chmod(0o644)
    code, found = checks(run, "--data", data, "--url", url)
    assert code == 1 and str(key) in found["private files"][1]
    key.chmod(0o600)
    data.chmod(0o755)
    code, found = checks(run, "--data", data, "--url", url)
    assert (code, found["private files"][0], found["data directory"][0]) == (0, "ok", "warn")


def test_doctor_sees_a_server_that_runs_elsewhere(run: Run, data: Path, held: None) -> None:
    code, found = checks(run, "--data", data, "--url", "http://127.0.0.1:9")
    assert code == 1 and "one is running on" in found["server"][1]


def test_doctor_sees_a_full_disk_and_a_failing_sync(
    run: Run, url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(machine.os, "fdatasync", failing)
    monkeypatch.setattr(machine, "MIN_FREE", 1 << 60)
    code, found = checks(run, "--data", data, "--url", url)
    assert code == 1
    assert found["fdatasync"] == ("fail", f"{data.absolute()}: Input/output error")
    assert found["disk space"][0] == "fail"
