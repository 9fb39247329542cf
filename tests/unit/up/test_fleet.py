"""What a fleet refuses, and what it says at its end; its processes are ordinary ones."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

import pytest

from muniment.errors import SettingsError
from muniment.up import processes
from muniment.up.fleet import Fleet
from muniment.up.places import Places
from muniment.up.plan import Planned, Wish, load_plan, make_plan
from muniment.up.ports import FreePorts
from muniment.up.prepare import make_folders
from muniment.up.processes import Processes

SLEEP = [sys.executable, "-u", "-c", "import time; print('up'); time.sleep(600)"]


class Said:
    """What a fleet showed: of which process, and what."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def fleet(tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """One whose nodes only sleep, and are ready at once."""

    async def ready(*_: object) -> None:
        return None

    def serve(node: Planned, places: Places) -> list[str]:
        return SLEEP

    monkeypatch.setattr(processes, "_serve", serve)
    monkeypatch.setattr(Processes, "_wait_ready", ready)
    places = Places(tmp_path / "fleet")
    make_folders(places)
    free = FreePorts(random=Random(3), free=lambda _: True)
    wish = Wish.model_validate({"edge": "none", "nodes": 1})
    return Fleet(places, make_plan(places, wish, None, free), said)


async def _started(fleet: Fleet, said: Said) -> None:
    await fleet.start(fleet.say)
    async with asyncio.timeout(60):
        while [line for _, line in said.lines].count("up") < len(fleet.plan.present()):
            await asyncio.sleep(0.01)


def test_a_node_that_runs_is_not_started_again(fleet: Fleet, said: Said) -> None:
    async def run() -> None:
        await _started(fleet, said)
        with pytest.raises(SettingsError, match="ingest-1 runs already"):
            await fleet.revive("ingest-1", fleet.say)
        await fleet.kill("ingest-1", fleet.say)
        await fleet.revive("ingest-1", fleet.say)
        with pytest.raises(SettingsError, match="there is no node ingest-9: there are ingest-1"):
            await fleet.revive("ingest-9", fleet.say)
        await fleet.abandon()

    asyncio.run(run())


def test_the_end_is_told_of_before_it_takes_long(fleet: Fleet, said: Said) -> None:
    async def run() -> None:
        await _started(fleet, said)
        await fleet.stop(fleet.say)

    asyncio.run(run())
    ours = [line for name, line in said.lines if name == "up"]
    assert ours[0] == "ending: no new writes; the nodes hand over what they have"
    assert ("ingest-1", "[ended with SIGTERM]") in said.lines


def test_all_ends_at_once_when_it_is_asked_for(fleet: Fleet, said: Said) -> None:
    async def run() -> None:
        await _started(fleet, said)
        await fleet.abandon()
        assert {fleet.processes[node.name].pid for node in fleet.plan.present()} == {None}

    asyncio.run(run())
    assert ("up", "ending everything at once, as asked") in said.lines
    assert {name for name, line in said.lines if line == "[killed]"} == {"ingest-1", "query-1"}


def test_that_the_token_was_shown_is_kept(fleet: Fleet) -> None:
    assert not fleet.plan.announced
    fleet.announced()
    kept = load_plan(fleet.places.plan)
    assert kept is not None
    assert kept.announced
