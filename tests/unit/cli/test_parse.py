"""`muniment parse`, and the directory of parsers that a server reads."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from muniment.cli import main
from muniment.errors import SettingsError
from muniment.event import source
from muniment.node import Node
from muniment.settings import load

TOML = """
name = "doorman"
class = "http"
pattern = '^(?P<client>[^ ]+) (?P<request>[A-Z]+ [^ ]+ [^ ]+) (?P<status>[0-9]+|-)$'
[fields]
client = "src_endpoint.ip"
request = "http_request"
status = { to = "http_response.code", as = "integer" }
[[example]]
line = "10.0.0.1 GET /a HTTP/1.1 200"
expect = { "http_response.code" = 200 }
"""
LINES = (
    b"10.0.0.1 GET /a HTTP/1.1 200\n\n10.0.0.1 GET /b HTTP/1.1 99999999999999999999\r\nnothing\n"
)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    source._own.clear()
    source.sources.cache_clear()


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "door.toml"
    path.write_text(TOML)
    return path


def run(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["parse", *map(str, arguments)], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def test_counts_reasons_and_the_first_events(toml: Path, tmp_path: Path) -> None:
    file = tmp_path / "door.log"
    file.write_bytes(LINES)
    code, out, _ = run("--as", toml, file)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:4] == ["3 lines as doorman", "read 1 33.3 %", "in part 1 33.3 %", "not 1 33.3 %"]
    assert any("status is no integer" in line and "numbered 2" in line for line in lines)
    assert "http_request.url.path /a" in lines


def test_rows_as_json_from_standard_input(toml: Path) -> None:
    code, out, _ = run("--as", toml, "--json", "-", stdin=LINES)
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["class_uid"] for row in rows] == [4002, 4002, 0]
    assert rows[0]["src_endpoint"] == {"ip": "10.0.0.1"}
    assert "received" not in rows[0]


def test_examples_and_faults_of_a_file(toml: Path) -> None:
    assert run("--as", toml, "--check")[:2] == (0, f"{toml}: 1 example holds\n")
    source._own.clear()
    source.sources.cache_clear()
    toml.write_text(TOML.replace("= 200 }", "= 404 }"))
    code, _, err = run("--as", toml, "--check")
    assert (code, "http_response.code is 200, not 404" in err) == (1, True)
    toml.write_text(TOML.replace("src_endpoint.ip", "src_endpoint.pi"))
    code, _, err = run("--as", toml, "--check")
    assert (code, "fields.client" in err) == (2, True)


def test_a_source_that_is_installed(tmp_path: Path) -> None:
    line = b'10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'
    assert "read 1 100.0 %" in " ".join(run("--as", "nginx", "-", stdin=line)[1].split())
    assert run("--as", "nothing", "-")[0] == 2
    assert run("--as", "nginx")[0] == 2
    assert run("--as", "nginx", "--zone", "Nowhere", "-")[0] == 2
    assert run("--as", "nginx", tmp_path / "none.log")[0] == 2


def test_a_line_longer_than_an_entry_is_one_row(toml: Path) -> None:
    code, out, _ = run("--as", toml, "--json", "-", stdin=b"x" * 200_000 + b"\n" + LINES)
    assert (code, len(out.splitlines())) == (0, 4)


def test_a_server_does_not_start_with_a_file_that_is_wrong(toml: Path, tmp_path: Path) -> None:
    settings = {"data": tmp_path / "data", "listen": "127.0.0.1:0", "sources": tmp_path}
    toml.write_text(TOML.replace('class = "http"', 'class = "https"'))
    with pytest.raises(SettingsError, match=r"door\.toml: class"):
        Node.open(load(settings, environment={}))
    assert not (tmp_path / "data").exists()


def test_a_file_in_gzip_is_unpacked_and_one_that_is_cut_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "door.log.gz"
    file.write_bytes(gzip.compress(LINES))
    code, out, _ = run("--as", "text", file)
    assert (code, out.splitlines()[0]) == (0, "3 lines as text")
    file.write_bytes(gzip.compress(LINES)[:30])
    code, _, error = run("--as", "text", file)
    assert code == 2
    assert "no whole gzip file" in error
