"""What holds for all commands: quick help, clear errors, clean ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from muniment import __version__
from muniment.cli import main
from muniment.cli.lazy import LazyGroup
from muniment.errors import Unauthenticated

from .conftest import Run
from .fake_server import FakeServer

MUNIMENT = [sys.executable, "-m", "muniment"]
COMMANDS = [
    *("serve", "up", "send", "capture", "search", "sql", "tail"),
    *("objects", "history", "show", "diff", "blame", "explain"),
    *("trace", "parse", "completeness", "prove", "check", "verify"),
    *("restore", "attach", "attachment", "worm", "hold", "retention"),
    *("mirror", "edge", "takeover", "promote", "rollback", "index", "tokens", "doctor"),
]


def test_help_loads_nothing_but_the_frame() -> None:
    code = (
        "import sys\n"
        "from muniment.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'httpx', 'rich', 'polars', 'pyarrow', 'duckdb', 'fastapi', 'cryptography'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    for command in COMMANDS:
        assert f"\n  {command} " in found.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert re.match(rf"Usage: \S+ {command}\b", result.output)
    assert len(result.output.splitlines()) > 4


def test_the_version(run: Run) -> None:
    assert run("--version").output == f"muniment {__version__}\n"


def test_an_unknown_command_is_exit_code_2(run: Run) -> None:
    result = run("recieve")
    assert result.exit_code == 2 and "recieve" in result.output


def failing(error: BaseException) -> click.Command:
    @click.command()
    def fail() -> None:
        raise error

    group = LazyGroup(name="test", commands_at={})
    group.add_command(fail)
    return group


@pytest.mark.parametrize(
    ("error", "says", "code"),
    [
        (Unauthenticated("a token is needed"), "MUNIMENT_TOKEN", 2),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied", 2),
        (KeyboardInterrupt(), "stopped", 130),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error: BaseException, says: str, code: int) -> None:
    from click.testing import CliRunner

    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == code
    assert says in result.stderr and "Traceback" not in result.output


def test_a_defect_is_not_hidden() -> None:
    from click.testing import CliRunner

    result = CliRunner().invoke(failing(ZeroDivisionError("a defect")), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_reader_that_goes_away_is_no_error(fake: FakeServer, url: str) -> None:
    """As in `muniment search --json | head -n 1`."""
    row = {"log": "default", "shard": "s", "index": 1, "raw_data": "x" * 1000}
    pages = [{"rows": [row] * 1000, "next": str(n + 1), "lag": 0} for n in range(20)]
    fake.search_pages = [*pages, {"rows": [], "next": None, "lag": 0}]
    command = [*MUNIMENT, "search", "--json", "--limit", "20000", "--url", url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b'{"log"')
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait(60)
    process.stderr.close()


def test_ctrl_c_ends_a_tail_without_traceback(fake: FakeServer, url: str) -> None:
    fake.streams.append([b'event: entry\nid: s:1\ndata: {"index":1}\n\n'])
    process = subprocess.Popen(
        [*MUNIMENT, "tail", "--json", "--url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == '{"index":1}\n'
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in printed and printed.endswith("stopped\n")


def on_a_terminal(command: list[str], **variables: str) -> str:
    """What a command shows on a terminal of 80 columns."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **variables}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(leader)
    process.wait(60)
    return shown.decode(errors="replace")


def test_a_terminal_gets_colour_and_a_progress_bar_unless_told_otherwise(
    fake: FakeServer, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"line\n" * 1000)
    shown = on_a_terminal([*MUNIMENT, "send", str(path), "--as", "x", "--url", url])
    assert "━" in shown and "a.log" in shown and "sent 1,000 entries" in shown
    shown = on_a_terminal([*MUNIMENT, "verify", url])
    assert "intact" in shown
    fake.search_pages = [{"rows": [{"status_code": "503", "raw_data": "x"}], "next": None}]
    search = [*MUNIMENT, "search", "--url", url]
    assert "\x1b[1;31m 503" in on_a_terminal(search)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", on_a_terminal(search, NO_COLOR="1"))


def test_no_progress_bar_without_a_terminal(fake: FakeServer, url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"line\n" * 1000)
    command = [*MUNIMENT, "send", str(path), "--as", "x", "--url", url]
    found = subprocess.run(command, capture_output=True, timeout=60)
    assert found.stderr == b""
    assert found.stdout == b"sent 1,000 entries (4.9 KiB) as default/0a1b2c3d 0..999\n"


def test_the_commands_are_those_of_the_contract() -> None:
    assert main.list_commands(click.Context(main)) == COMMANDS
