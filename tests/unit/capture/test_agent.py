"""The agent as a whole: it starts what the configuration has, and says what it does."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event, Thread

import orjson
import pytest
from test_spool import assert_chained, opened

from muniment.capture import agent as agent_module
from muniment.capture.agent import Agent
from muniment.capture.chain import read_heads
from muniment.capture.port import Outlet
from muniment.capture.section import KINDS, Section
from muniment.capture.settings import load
from muniment.capture.spool.segments import find_segments, frames
from muniment.capture.status import read_status
from muniment.errors import SettingsError
from muniment.log.disk import PosixDisk
from muniment.log.note import Note, Verifier

CONFIG = """
name = "lb1"
endpoints = ["http://127.0.0.1:9"]
state = "state"
[[tail]]
name = "access"
as = "text"
paths = ["*.log"]
parcel_age = 0.05
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "SHIP_SECONDS", 0.0)
    monkeypatch.setattr(agent_module, "STATUS_SECONDS", 0.05)
    monkeypatch.setattr(agent_module, "FIRST_PAUSE", 0.01)


def run(directory: Path, text: str, *until: str, seconds: float = 60) -> None:
    """Runs an agent, whose endpoint is not there, until its status says so."""
    config = directory / "capture.toml"
    config.write_text(text)
    agent = Agent(load(config), text.encode())
    stopping = Event()
    thread = Thread(target=agent.run, args=(stopping,), daemon=True)
    thread.start()
    status = directory / "state" / "status.json"
    for _ in range(int(seconds / 0.02)):
        if status.exists() and all(one in status.read_text() for one in until):
            break
        stopping.wait(0.02)
    stopping.set()
    thread.join(30)
    assert not thread.is_alive()


def spooled(directory: Path) -> dict[str, list[bytes]]:
    """What waits in the spool, by stream."""
    disk = PosixDisk()
    segments = find_segments(disk, directory / "state" / "spool")
    found = [frame for segment in segments for frame, _ in frames(disk, segment)]
    return assert_chained([opened(frame) for frame in found if frame.count])


def actions(directory: Path) -> list[str]:
    return [orjson.loads(record)["action"] for record in spooled(directory)["lb1/agent"]]


def test_what_it_captures_waits_in_the_spool_behind_signed_heads(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\ntwo\n")
    run(tmp_path, CONFIG, '"lb1/access":{"captured":2', '"trouble":{"http')
    status = read_status(tmp_path / "state")
    assert status["streams"]["lb1/access"]["captured"] == 2
    assert "127.0.0.1:9" in str(status["trouble"])
    found = spooled(tmp_path)
    assert found["lb1/access"] == [b"one", b"two"]
    events = [orjson.loads(record) for record in found["lb1/agent"]]
    assert [event["action"] for event in events] == [
        *("capture.start", "capture.endpoint_lost", "capture.stop", "capture.heads")
    ]
    note = Note.parse(events[-1]["note"])
    note.check([Verifier.parse(events[0]["verifier"])])
    name, heads = read_heads(note.text)
    assert name == "lb1"
    assert {stream: head.last for stream, head in heads.items()} == {
        "lb1/access": 2,
        "lb1/agent": 3,
    }


def test_it_says_that_it_goes_on_and_that_its_configuration_changed(tmp_path: Path) -> None:
    run(tmp_path, CONFIG, "lb1/agent")
    run(tmp_path, CONFIG + "idle = 30\n", "lb1/agent")
    found = actions(tmp_path)
    assert found.count("capture.start") == 2
    assert found.count("capture.config") == 1
    assert "capture.resume" not in found
    config = tmp_path / "capture.toml"
    killed = Agent(load(config), b"")
    killed.health.started(killed.spool, killed._boot)
    killed.health._put(killed.spool)
    killed._close()
    run(tmp_path, CONFIG, "lb1/agent")
    assert "capture.resume" in actions(tmp_path)


def test_two_agents_cannot_have_the_same_state(tmp_path: Path) -> None:
    config = tmp_path / "capture.toml"
    config.write_text(CONFIG)
    first = Agent(load(config), b"")
    with pytest.raises(SettingsError, match="in use"):
        Agent(load(config), b"")
    first._close()


class Failing:
    """A feed that fails at first."""

    stream = "shaky"

    def __init__(self) -> None:
        self.runs = 0

    def run(self, outlet: Outlet, stopping: Event) -> None:
        self.runs += 1
        if self.runs < 3:
            raise [OSError("no such bucket"), ZeroDivisionError("a defect")][self.runs - 1]
        outlet.put(self.stream, "text", [b"well"])
        stopping.wait()


class ShakySettings(Section):
    """A section of a kind that only this test has."""


@pytest.fixture
def shaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = types.ModuleType("shaky_kind")

    def feeds(_settings: Section) -> Iterable[Failing]:
        return [Failing()]

    module.Settings, module.feeds = ShakySettings, feeds  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shaky_kind", module)
    monkeypatch.setitem(KINDS, "shaky", "shaky_kind")
    yield


@pytest.mark.usefixtures("shaky")
def test_a_feed_that_fails_is_told_and_started_again(tmp_path: Path) -> None:
    run(tmp_path, CONFIG + '[[shaky]]\nname = "x"\n', "lb1/shaky")
    found = spooled(tmp_path)
    assert found["lb1/shaky"] == [b"well"]
    events = [orjson.loads(record) for record in found["lb1/agent"]]
    failed = [e["detail"] for e in events if e["action"] == "capture.feed_failing"]
    assert failed == ["no such bucket", "ZeroDivisionError: a defect"]


@pytest.mark.usefixtures("shaky")
def test_two_parts_cannot_have_the_same_stream(tmp_path: Path) -> None:
    config = tmp_path / "capture.toml"
    config.write_text(CONFIG + '[[shaky]]\nname = "x"\n[[shaky]]\nname = "y"\n')
    with pytest.raises(SettingsError, match="its stream is 'shaky'"):
        Agent(load(config), b"")
