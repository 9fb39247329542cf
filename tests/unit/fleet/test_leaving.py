"""A node that leaves: all is handed over once the primary store has shown to have it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.fleet.test_closing import LINES, Opened, settings_of, whole

from muniment.clock import SystemClock
from muniment.leaving import hand_over
from muniment.log import Health, Shard


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(settings_of(tmp_path, "a", "stores"))
    yield found
    found.close()


def leave(node: Opened, *, hurry: bool = False) -> bool:
    async def run() -> bool:
        hurried = asyncio.Event()
        if hurry:
            hurried.set()
        return await hand_over(node.shards, node.stores, SystemClock(), hurried)

    return asyncio.run(run())


def test_a_node_that_handed_over_is_whole_in_the_store(
    node: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.leaving.HAND_OVER_SECONDS", 300.0)
    node.append(LINES)
    archive = node.stores._archive
    assert archive is not None
    archive.start()
    try:
        assert leave(node)
    finally:
        archive.stop()
    assert whole(node.settings, node.shard.name) == len(LINES)


def test_nobody_is_told_so_before_the_store_was_even_asked(node: Opened) -> None:
    node.append(LINES)
    assert not leave(node, hurry=True)


def test_a_second_signal_does_not_wait_for_the_store(
    node: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.leaving.HAND_OVER_SECONDS", float("inf"))
    node.append(LINES)
    assert not leave(node, hurry=True)


def test_a_shard_that_cannot_be_sealed_is_not_handed_over(
    node: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.leaving.HAND_OVER_SECONDS", float("inf"))
    node.append(LINES)
    shard = node.shard
    shard.close()  # its writer is gone
    monkeypatch.setattr(Shard, "health", Health(ok=False, reason="full"))
    assert shard.raw.end.offset
    assert not leave(node)


def test_a_node_without_entries_has_nothing_to_hand_over(node: Opened) -> None:
    assert leave(node)
