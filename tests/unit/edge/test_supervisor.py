"""The supervisor: what it loads, what it never loads, and what it says."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from edge_descriptions import MINIMAL, written

from muniment.edge.balancer import EdgeFailing
from muniment.edge.description import Description
from muniment.edge.run import Supervisor
from muniment.errors import SettingsError


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> None:
        raise AssertionError("nobody asks for the time of day")


class Recorded:
    """A balancer that writes down what it is told."""

    name = "recorded"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.running = False
        self.complaint: str | None = None
        self.fails = False
        self.late = 0

    def render(self, description: Description) -> Mapping[str, str]:
        names = " ".join(node.name for node in description.node)
        return {"main.cfg": f"{names} {description.limits.uri}\n", "more/own.map": "x\n"}

    def check(self, directory: Path) -> str | None:
        assert (directory / "main.cfg").exists()
        self.told.append("check")
        return self.complaint

    def start(self) -> None:
        self.told.append("start")
        if self.fails:
            raise EdgeFailing("it does not start")
        self.running = True

    def reload(self) -> None:
        self.told.append("reload")
        if self.late:
            self.late -= 1
            raise EdgeFailing("it has not loaded its files in time")

    def drain(self, nodes: Collection[str]) -> None:
        self.told.append(f"drain {' '.join(sorted(nodes))}".strip())

    def stop(self, seconds: float) -> None:
        self.told.append(f"stop {seconds:g}")
        self.running = False

    def heard(self) -> list[str]:
        """What it was told since it was asked last."""
        told, self.told = self.told, []
        return told


class Stage:
    """A supervisor whose first start went well."""

    def __init__(self, directory: Path) -> None:
        written(directory, MINIMAL)
        self.file = directory / "fleet.toml"
        self.directory = directory / "run"
        self.directory.mkdir()
        self.balancer, self.clock = Recorded(), Clock()
        self.supervisor = Supervisor(
            self.file,
            self.directory,
            self.balancer,
            self.clock,  # type: ignore[arg-type]
        )
        self.supervisor.prepare()
        self.balancer.start()
        assert self.balancer.heard() == ["check", "start"]

    def write(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    @property
    def loaded(self) -> str:
        return (self.directory / "main.cfg").read_text()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_nothing_is_done_where_nothing_changed(stage: Stage) -> None:
    for _ in range(3):
        stage.supervisor.look()
    stage.file.touch()
    stage.supervisor.look()
    assert stage.balancer.heard() == []
    assert not (stage.directory / "next").exists()


def test_a_change_is_checked_and_then_loaded(stage: Stage) -> None:
    stage.write(MINIMAL + "[limits]\nuri = 4096\n")
    stage.supervisor.look()
    assert stage.balancer.heard() == ["check", "reload"]
    assert stage.loaded == "n1 4096\n"
    assert (stage.directory / "main.cfg").stat().st_mode & 0o777 == 0o600


def test_a_load_that_failed_is_tried_again_until_it_works(stage: Stage) -> None:
    stage.balancer.late = 2
    stage.write(MINIMAL + "[limits]\nuri = 4096\n")
    for _ in range(3):
        stage.supervisor.look_guarded()
        assert stage.balancer.heard() == ["check", "reload"]
        stage.supervisor.look_guarded()
        assert stage.balancer.heard() == [], "not without a pause, and not once it has worked"
        stage.clock.at += 60
    stage.supervisor.look_guarded()
    assert stage.balancer.heard() == []


def test_one_that_is_started_again_has_loaded_what_it_did_not_take_before(stage: Stage) -> None:
    stage.balancer.late = 1
    stage.write(MINIMAL + "[limits]\nuri = 4096\n")
    stage.supervisor.look_guarded()
    stage.balancer.running = False
    stage.clock.at += 60
    stage.supervisor.look_guarded()
    stage.clock.at += 60
    stage.supervisor.look_guarded()
    assert stage.balancer.heard() == ["check", "reload", "start"]


def test_what_the_balancer_refuses_is_never_loaded(stage: Stage) -> None:
    stage.balancer.complaint = "line 1: nonsense"
    stage.write(MINIMAL + "[limits]\nuri = 4096\n")
    with pytest.raises(EdgeFailing, match="line 1: nonsense"):
        stage.supervisor.look()
    assert stage.balancer.heard() == ["check"]
    assert stage.loaded == "n1 8192\n"
    stage.balancer.complaint = None
    stage.supervisor.look()
    assert stage.loaded == "n1 4096\n"


def test_a_wrong_description_changes_nothing(stage: Stage) -> None:
    stage.write("nothing = true")
    with pytest.raises(SettingsError):
        stage.supervisor.look()
    stage.supervisor.look()
    assert stage.balancer.heard() == []


def test_another_certificate_is_loaded(stage: Stage, tmp_path: Path) -> None:
    certificate = tmp_path / "edge.pem"
    certificate.write_bytes(certificate.read_bytes() + b"\n")
    stage.supervisor.look()
    assert stage.balancer.heard() == ["check", "reload"]


def test_it_is_told_which_nodes_drain(stage: Stage) -> None:
    stage.write(MINIMAL + 'state = "draining"\n')
    stage.supervisor.look()
    stage.supervisor.look()
    assert stage.balancer.heard() == ["drain n1"]
    stage.write(MINIMAL)
    stage.supervisor.look()
    assert stage.balancer.heard() == ["drain"]


def test_one_that_died_is_started_again_less_and_less_often(stage: Stage) -> None:
    stage.balancer.running, stage.balancer.fails = False, True
    starts = 0
    for _ in range(600):
        stage.clock.at += 0.5
        try:
            stage.supervisor.look()
        except EdgeFailing:
            starts += 1
    assert 5 <= starts <= 25
    stage.balancer.fails = False
    stage.clock.at += 60
    stage.supervisor.look()
    assert stage.balancer.running


def test_trouble_is_told_at_once_and_then_once_a_minute(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.write("nothing = true")
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            stage.supervisor.look_guarded(force=True)
        assert len(caplog.records) == 1
        stage.clock.at += 61
        stage.supervisor.look_guarded(force=True)
        assert len(caplog.records) == 2


def test_a_defect_leaves_the_balancer_running(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(description: Description) -> Mapping[str, str]:
        raise KeyError(description.name)

    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr(stage.balancer, "render", defect)
        for _ in range(3):
            stage.supervisor.look_guarded(force=True)
    assert stage.balancer.running
    assert stage.balancer.heard() == []
    assert [record.message for record in caplog.records] == [
        "a defect: KeyError; the balancer goes on as it is",
        "the look failed",
    ]
    stage.supervisor.look_guarded(force=True)
    assert "reload" in stage.balancer.heard()
