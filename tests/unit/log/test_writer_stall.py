"""A disk that hangs gives no error: senders are refused instead of waiting for it."""

from __future__ import annotations

import logging
from threading import Event

import pytest
from live_shard import eventually, lines, new_shard, take
from simulated_disk import Fault, Step

from muniment.errors import StorageFailing
from muniment.log import health


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
