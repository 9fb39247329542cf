"""Envoy's hot restart, with processes that only stand for it: what is late is waited for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.edge.balancer import EdgeFailing
from muniment.edge.envoy_process import Envoy


class Slow(Envoy):
    """An Envoy of which `late` next ones do not serve in time."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.files, self.late = "first", 0
        self.launched: list[tuple[str, ...]] = []

    def _loads(self) -> str:
        return self.files

    def _launch(self, *options: str) -> subprocess.Popen[bytes]:
        self.launched.append(options)
        self._loaded = self._loads()
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def _wait_ready(self, child: subprocess.Popen[bytes], epoch: int) -> None:
        if self.late:
            self.late -= 1
            raise EdgeFailing("it is late")

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The one that serves."""
        assert self._child is not None
        return self._child

    def kill(self, child: subprocess.Popen[bytes] | None) -> None:
        assert child is not None
        child.kill()
        child.wait()


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[Slow]:
    (tmp_path / "envoy.base-id").write_text("7\n")
    made = Slow(tmp_path)
    made.start()
    made.launched.clear()
    yield made
    for child in (made._child, made._coming, made._before):
        if child is not None:
            made.kill(child)


def test_one_that_is_late_is_waited_for_and_not_ended(envoy: Slow) -> None:
    first = envoy.child
    envoy.files, envoy.late = "second", 2
    for _ in range(2):
        with pytest.raises(EdgeFailing, match="late"):
            envoy.reload()
        assert envoy.child is first and envoy.running
    envoy.reload()
    assert envoy.launched == [("--base-id", "7", "--restart-epoch", "1")]
    assert envoy.child is not first and first.poll() is None, "it drains, and ends by itself"
    envoy.reload()
    assert len(envoy.launched) == 1


def test_what_changed_while_one_was_late_is_loaded_too(envoy: Slow) -> None:
    first = envoy.child
    envoy.files, envoy.late = "second", 1
    with pytest.raises(EdgeFailing):
        envoy.reload()
    envoy.files = "third"
    envoy.kill(first)  # as it does by itself, or the next one would wait for that
    envoy.reload()
    assert [options[-1] for options in envoy.launched] == ["1", "2"]


def test_one_that_ended_is_started_again_with_the_same_epoch(envoy: Slow) -> None:
    first = envoy.child
    envoy.files, envoy.late = "second", 2
    with pytest.raises(EdgeFailing):
        envoy.reload()
    envoy.kill(envoy._coming)
    with pytest.raises(EdgeFailing):
        envoy.reload()
    assert envoy.child is first and envoy.running
    envoy.reload()
    assert [options[-1] for options in envoy.launched] == ["1", "1"]
    assert envoy.child is not first


def test_one_that_took_over_late_counts_as_running(envoy: Slow) -> None:
    envoy.files, envoy.late = "second", 1
    with pytest.raises(EdgeFailing):
        envoy.reload()
    envoy.kill(envoy.child)
    assert envoy.running
    envoy.reload()
    assert envoy.running and len(envoy.launched) == 1


def test_where_nobody_serves_it_is_to_be_started_anew(envoy: Slow) -> None:
    envoy.files, envoy.late = "second", 2
    with pytest.raises(EdgeFailing):
        envoy.reload()
    envoy.kill(envoy.child)
    with pytest.raises(EdgeFailing):
        envoy.reload()
    assert not envoy.running
