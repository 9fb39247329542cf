"""The whole command line against `muniment serve` itself."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Run

MUNIMENT = [sys.executable, "-m", "muniment"]


class Served:
    """A server on a port of the system's choice; a restart keeps data and address."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self._output = directory / "serve.txt"
        self._listen = "127.0.0.1:0"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self._output.unlink(missing_ok=True)
        command = [*MUNIMENT, "serve", "--data", str(self.data), "--listen", self._listen]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--syslog", "off"],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.data.parent,
                env={name: v for name, v in os.environ.items() if "MUNIMENT" not in name},
            )
        for _ in range(600):
            found = re.search(r"listening on (http://(\S+))", self._output.read_text())
            if found:
                self.url, self._listen = found[1], found[2]
                return self.process
            assert self.process.poll() is None, self._output.read_text()
            time.sleep(0.1)
        raise AssertionError(f"the server does not start: {self._output.read_text()}")

    def printed(self) -> str:
        return self._output.read_text()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(120)
        finally:
            self.process.kill()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.stop()


def lines_of(server: Served) -> list[str]:
    """The raw text of all entries in the order of the log."""
    command = [*MUNIMENT, "search", "--json", "--order", "oldest", "--limit", "1000000"]
    for _ in range(120):
        found = subprocess.run([*command, "--url", server.url], capture_output=True, text=True)
        if found.returncode == 0 and "cannot be searched yet" not in found.stderr:
            rows = [json.loads(line) for line in found.stdout.splitlines()]
            return [row["raw_data"] for row in sorted(rows, key=lambda row: row["index"])]
        time.sleep(0.25)
    raise AssertionError(found.stderr)


def test_from_a_file_to_a_proof(run: Run, served: Served, tmp_path: Path) -> None:
    log, receipt, proof = (tmp_path / name for name in ("a.log", "receipt", "p.tlog-proof"))
    log.write_bytes(b"".join(b"line number %d\n" % n for n in range(1000)))
    url = ("--url", served.url)

    sent = run("send", log, "--as", "text", "--receipt", receipt, "--json", *url)
    assert sent.exit_code == 0, sent.output
    ((shard, place),) = json.loads(sent.stdout)["shards"].items()
    assert place == {"first": 0, "last": 999}
    assert lines_of(served) == [f"line number {n}" for n in range(1000)]

    counted = run("sql", "SELECT count(*) AS n FROM events", "--json", *url)
    assert json.loads(counted.stdout) == {"n": 1000}
    assert run("prove", f"default/{shard}/500", "-o", proof, *url).exit_code == 0
    assert run("verify", served.url, "--trust", receipt).exit_code == 0
    assert run("verify", served.data, "--trust", receipt).exit_code == 0
    assert run("doctor", "--data", served.data, *url).exit_code == 0
    assert run("index", "rebuild", "--data", served.data).exit_code == 2

    served.stop()
    checked = run("check", proof)
    assert checked.exit_code == 0 and "line number 500" in checked.output
    assert run("verify", served.data, "--trust", receipt).exit_code == 0
    rebuilt = run("index", "rebuild", "--data", served.data)
    assert rebuilt.output == "default: 1,000 entries indexed\n"


def test_a_token_is_made_used_listed_and_revoked(run: Run, served: Served) -> None:
    shown = re.search(r"mun_\w{8}_[\w-]{43}", served.printed())
    assert shown
    admin = ("--url", served.url, "--token", shown[0])

    refused = run("tokens", "create", "lb", "--url", served.url)
    assert refused.exit_code == 2 and "manage access" in refused.output
    made = run("tokens", "create", "lb", "--log", "default", *admin)
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    wrong = run("tokens", "create", "lb", "--log", "default", "--scope", "read", *admin)
    assert wrong.exit_code == 2 and "scope write" in wrong.output

    writes = ("send", "-", "--as", "text", "--url", served.url, "--token", token)
    assert run(*writes, text="one line\n").exit_code == 0
    listed = run("tokens", "list", *admin)
    assert re.search(r"^\w{8}  lb  write  log default  since 20", listed.stdout, re.MULTILINE)
    assert token.split("_", 2)[2] not in listed.stdout
    assert run("tokens", "revoke", token.split("_")[1], *admin).exit_code == 0
    assert run(*writes, text="another line\n").exit_code == 1
    actions = [json.loads(line)["action"] for line in lines_of(served) if "action" in line]
    assert actions == ["token.create", "token.revoke"]


def test_a_tail_shows_what_is_sent(run: Run, served: Served, tmp_path: Path) -> None:
    command = [*MUNIMENT, "tail", "raw:wanted", "--json", "-n", "2", "--url", served.url]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for number in range(300):
            text = f"wanted {number}\nother {number}\n"
            assert run("send", "-", "--as", "text", "--url", served.url, text=text).exit_code == 0
            if tail.poll() is not None:
                break
            time.sleep(0.2)
        printed, _ = tail.communicate(timeout=30)
    finally:
        tail.kill()
    rows = [json.loads(line)["raw_data"] for line in printed.splitlines()]
    assert len(rows) == 2 and all(row.startswith("wanted ") for row in rows)


def test_refusals_of_the_real_server_are_understood(
    run: Run, served: Served, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.ndjson"
    bad.write_bytes(b'{"a":1}\n' * 5 + b"nope\n" + b'{"a":2}\n')
    url = ("--url", served.url)
    result = run("send", bad, "--as", "json", *url)
    assert result.exit_code == 1 and f"{bad}, line 6: not JSON" in result.output
    result = run("send", bad, "--as", "json", "--skip-bad", *url)
    assert result.exit_code == 0
    long = tmp_path / "long.log"
    long.write_bytes(b"x" * 65_500 + b"\nshort\n")
    result = run("send", long, "--as", "text", *url)
    assert result.exit_code == 1 and f"{long}, line 1: 65,500 bytes" in result.output
    result = run("send", long, "--as", "text", "--token", "mun_00000000_" + "x" * 43, *url)
    assert result.exit_code == 1 and "not known" in result.output
    result = run("search", "status:>>(", *url)
    assert result.exit_code == 2 and "Traceback" not in result.output
    result = run("sql", "SELECT * FROM read_csv('/etc/passwd')", *url)
    assert result.exit_code == 2
    assert lines_of(served) == ['{"a":1}'] * 5 + ['{"a":2}']


def test_killed_senders_and_servers_lose_and_double_nothing(served: Served, tmp_path: Path) -> None:
    chance = random.Random(7)
    path, written = tmp_path / "a.log", 0
    command = [*MUNIMENT, "send", str(path), "--as", "text", "--url", served.url]
    for round_ in range(6):
        more = chance.randrange(10_000, 30_000)
        with path.open("ab") as file:
            file.write(b"".join(b"line %07d and its end\n" % (written + n) for n in range(more)))
        written += more
        sender = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.9))
        if round_ % 2:
            served.process.kill()
            served.process.wait(30)
            served.start()
            sender.wait(120)
        else:
            sender.kill()
            sender.wait(30)
    last = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert last.returncode == 0, last.stderr
    assert lines_of(served) == [f"line {n:07d} and its end" for n in range(written)]
