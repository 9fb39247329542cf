"""Starting: one command, a token shown once, nothing open to strangers, one server a directory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .harness.cli import muniment
from .harness.process import free_port
from .harness.server import MunimentServer, serving
from .harness.waiting import wait_for


def test_the_first_start_shows_the_token_once_and_keeps_only_a_hash(
    muniment_server: MunimentServer,
) -> None:
    server = muniment_server
    first = server.process.printed()
    assert server.url in first
    (token,) = re.findall(r"admin token[^\n]*\n\s+(\S{20,})\n", first)
    assert server.stop() == 0
    for path in server.data.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path

    server.start()

    assert server.process.printed().count(token) == 1
    assert server.data.stat().st_mode & 0o777 == 0o700
    for key in (server.data / "keys").iterdir():
        assert key.stat().st_mode & 0o777 == 0o600


def test_where_tokens_are_required_nothing_is_read_or_written_without(tmp_path: Path) -> None:
    server = MunimentServer(
        tmp_path / "data", tmp_path / "serve.txt", {"MUNIMENT_REQUIRE_TOKENS": "true"}
    )
    try:
        server.start()
        (token,) = re.findall(r"admin token[^\n]*\n\s+(\S{20,})\n", server.process.printed())
        wrong = {"Authorization": f"Bearer {token[:-1]}{'a' if token[-1] != 'a' else 'b'}"}
        for headers in ({}, wrong):
            assert server.append(b"x", **headers).status_code == 401
            for path in ("/api/v1/logs", "/api/v1/logs/default/search", "/metrics"):
                assert server.http.get(path, headers=headers).status_code == 401
        assert server.append(b"x", Authorization=f"Bearer {token}").status_code == 201
        server.http.headers["Authorization"] = f"Bearer {token}"
        assert server.shard()["size"] == 1
    finally:
        server.close()


@pytest.mark.parametrize(
    "options", [["--listen", "0.0.0.0:0", "--syslog", "off"], ["--syslog", "0.0.0.0:0"]]
)
def test_an_address_for_everybody_is_refused_in_plain_text(
    options: list[str], tmp_path: Path
) -> None:
    listen = [] if "--listen" in options else ["--listen", f"127.0.0.1:{free_port()}"]

    status, printed = muniment(
        "serve", "--data", tmp_path / "data", *listen, *options, cwd=tmp_path, seconds=30
    )

    assert status == 2, printed
    assert "0.0.0.0" in printed and "--serve-without-tls-and-tokens" in printed
    assert not (tmp_path / "data").exists()


def test_a_second_server_on_the_same_directory_is_refused(
    muniment_server: MunimentServer, tmp_path: Path
) -> None:
    muniment_server.accepted(b"mine")
    arguments = ["--listen", f"127.0.0.1:{free_port()}", "--syslog", "off"]

    status, printed = muniment(
        "serve", "--data", muniment_server.data, *arguments, cwd=tmp_path, seconds=30
    )

    assert status == 2, printed
    assert str(muniment_server.data) in printed.replace("\n", ""), printed
    assert muniment_server.accepted(b"still mine")["first"] == 1


def test_a_server_says_where_it_listens_and_shows_its_pages(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for address in (server.url, f"127.0.0.1:{server.syslog_port}", str(server.data)):
            wait_for(lambda a=address: a in server.process.printed(), f"{address} to be printed")
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/metrics"):
            assert server.http.get(path).status_code == 200, path
