"""`muniment mirror status`: what a node holds of others, and whether it holds together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Run
from .fake_server import Answer, FakeServer

WELL = {
    "log": "web",
    "shard": "5f0c1a9e",
    "state": "following",
    "size": 12_345,
    "root": "00ff",
    "checkpoint": "muniment.test/web/5f0c1a9e\n12345\nAAAA\n\n\u2014 key sig\n",
    "source": "https://n1.example:8470",
    "lag": 3,
    "lag_seconds": 1.25,
    "problem": "",
}
DAMAGED = {**WELL, "shard": "77", "state": "damaged", "problem": "n2: another\x1b[31m history"}


def answering(fake: FakeServer, value: Any) -> None:
    fake.routes["/api/v1/mirrors"] = lambda _request: Answer.json(value)


def test_it_prints_each_mirror(run: Run, fake: FakeServer, url: str) -> None:
    answering(fake, {"mirrors": [WELL]})
    found = run("mirror", "status", "--url", url)
    assert found.exit_code == 0
    for part in ("web/5f0c1a9e: following", "12,345 entries", "00ff", "n1.example", "3 entries"):
        assert part in found.output
    assert "behind for 1.2 s" in found.output and "| 12345" in found.output


def test_one_that_is_damaged_is_exit_code_1(run: Run, fake: FakeServer, url: str) -> None:
    answering(fake, {"mirrors": [WELL, DAMAGED]})
    found = run("mirror", "status", "--url", url)
    assert found.exit_code == 1 and "web/77" in found.stderr
    assert "another" in found.stdout and "\x1b" not in found.output
    found = run("mirror", "status", "--json", "--url", url)
    assert found.exit_code == 1 and len(json.loads(found.stdout)["mirrors"]) == 2


def test_none(run: Run, fake: FakeServer, url: str) -> None:
    answering(fake, {"mirrors": []})
    found = run("mirror", "status", "--url", url)
    assert found.exit_code == 0 and "nothing is mirrored" in found.output


def test_an_edge_is_not_whom_to_ask(run: Run, url: str) -> None:
    found = run("mirror", "status", "--url", url)
    assert found.exit_code == 2 and "ask the node itself" in found.stderr


@pytest.mark.parametrize("value", [[], {}, {"mirrors": 1}, {"mirrors": [1]}, "x"])
def test_what_is_no_answer(run: Run, fake: FakeServer, url: str, value: Any) -> None:
    answering(fake, value)
    assert run("mirror", "status", "--url", url).exit_code == 2
