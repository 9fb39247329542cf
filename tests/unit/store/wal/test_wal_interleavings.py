"""Several nodes that all believe they own a shard, in thousands of orders of their store calls.

What must hold each time: whatever anybody was told is stored is in the final history once, at its
place, in order; nothing is there twice; and who wants the shard gets it in the end.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interleaving import World
from wal_node import Archive, Life, WalNode

from muniment.log.replica import Append

RUNS, CHUNK = 1000, 125


def run(seed: int) -> tuple[World, list[Append], list[Append]]:
    """Plays one seed; returns what was told, and the final history."""
    world = World(seed, faults=(0.0, 0.05, 0.2)[seed % 3], page=(1000, 3)[seed % 2])
    random, archive, told = world.random, Archive(), list[Append]()
    nodes = [WalNode(world, name, archive, told) for name in ("a", "b", "c")]
    lives = random.randrange(2, 7)
    nodes[0].start(random.randrange(5, 40), random.randrange(1, 5))
    while world.actors:
        world.step()
        event = random.random()
        node = random.choice(nodes)
        alive = any(actor.node == node.name for actor in world.actors)
        if event < 0.004 and alive:
            world.kill(node.name)
        elif event < 0.012 and alive:
            world.asleep[node.name] = world.clock.seconds + random.choice((1, 30, 300))
        if lives and not alive and (random.random() < 0.02 or not world.actors):
            lives -= 1
            node.start(random.randrange(5, 40), random.randrange(1, 5))
    world.bucket.land()
    world.chance = 0.0
    world.bucket.late.clear()
    last = WalNode(world, "last", archive, told)
    life = Life(last, 0, 1)
    world.spawn("last", life.run)
    while world.actors:
        world.step()
    return world, told, life.history.appends


def check(seed: int) -> int:
    _, told, history = run(seed)
    idents = [one.frames for one in history]
    assert len(idents) == len(set(idents)), "an append is there twice"
    places = {one.frames: number for number, one in enumerate(history)}
    for one in told:
        assert one.frames in places, f"{one.frames!r} was told and is gone"
        assert history[places[one.frames]] == one
    assert len({one.frames for one in told}) == len(told), "told twice"
    of_life: dict[bytes, int] = {}
    for one in told:
        life = one.frames.rpartition(b".")[0]
        assert of_life.get(life, -1) < places[one.frames], "told out of order"
        of_life[life] = places[one.frames]
    return len(told)


@pytest.mark.parametrize("chunk", range(RUNS // CHUNK))
def test_nothing_that_was_told_is_lost(chunk: int) -> None:
    told = 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        try:
            told += check(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert told > CHUNK


@pytest.mark.fuzz
@given(st.integers(RUNS, 1 << 48))
def test_any_seed(seed: int) -> None:
    check(seed)
