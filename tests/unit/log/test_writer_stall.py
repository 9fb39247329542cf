"""A disk that hangs gives no error: senders are refused instead of waiting for it."""

from __future__ import annotations

import logging
from threading import Event
from types import SimpleNamespace

import pytest
from fake_clock import FakeClock
from live_shard import eventually, lines, new_shard, take
from simulated_disk import Fault, Step

from muniment.errors import StorageFailing
from muniment.log import health
from muniment.log.health import STALL_SECONDS, Health, Stall


def test_a_disk_that_hangs_is_told_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health, "STALL_SECONDS", 0.05)
    shard, disk = new_shard()
    answers = Event()

    def hang(step: Step) -> Fault | None:
        assert answers.wait(60)
        return None

    disk.plan = hang
    waiting = shard.submit(lines("a"))
    eventually(lambda: not shard.health.ok)
    with pytest.raises(StorageFailing, match="the disk has not answered since 20"):
        take(shard, lines("b"))
    assert not waiting.done()
    answers.set()
    assert waiting.result(60).first == 0
    monkeypatch.setattr(health, "STALL_SECONDS", 60.0)
    eventually(lambda: shard.health.ok)
    assert take(shard, lines("c")).first == 1
    shard.close()
    told = [one.message for one in caplog.records if one.levelno == logging.ERROR]
    assert len(told) == 1
    assert told[0].startswith("web/11111111: acknowledges nothing: the disk has not answered")


def test_a_writer_that_waits_for_batches_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    shard, _ = new_shard()
    take(shard, lines("a"))
    assert shard.wait_published(1, 60)
    monkeypatch.setattr(health, "STALL_SECONDS", 0.0)
    eventually(lambda: shard.health.ok)
    shard.close()


def test_work_that_goes_on_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = SimpleNamespace(now=0.0)
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: hands.now))
    stall = Stall("web/11111111", FakeClock())
    with stall.at_work():
        for _ in range(3):
            hands.now += STALL_SECONDS - 1
            assert stall.of(Health()).ok
            stall.goes_on()
        hands.now += STALL_SECONDS
        assert not stall.of(Health()).ok
    assert stall.of(Health()).ok
