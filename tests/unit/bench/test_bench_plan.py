"""The arithmetic of the plan, and that the simulation neither loses nor makes up anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan import Fleet, Measured, Prices, plan, worlds
from bench.simulation import MIB, Simulation, World

SMALL = World(nodes=3, rate=100_000.0, batch=500, seconds=3.0)


def test_machines_follow_from_cpu_seconds() -> None:
    measured = Measured(ingest_cpu=2e-6, index_cpu=5e-6)
    made = plan(Fleet(rate=1_000_000, cores=4, load=0.5), 0.0, measured)
    assert (made.ingest_nodes, made.query_nodes) == (1, 3)  # 2 and 5 cores, 2 usable a machine
    assert made.wire_gbit == pytest.approx(2.4)
    assert made.edge_nodes == 1
    twice = plan(Fleet(rate=2_000_000, cores=4, load=0.5), 0.0, measured)
    assert (twice.ingest_nodes, twice.query_nodes) == (2, 5)


def test_requests_and_dollars_follow_from_bytes() -> None:
    measured = Measured(archive=25.0, segment=100_000_000.0)
    made = plan(Fleet(rate=4_000_000), 100.0, measured, Prices(put=1e-5, month=2e-11))
    assert made.archive_puts == pytest.approx(2.0)  # one segment a second, and its companion
    assert made.reads_back == pytest.approx(4.0)
    assert made.stored_day == pytest.approx(4e6 * 25 * 86_400)
    assert made.dollars["write-ahead puts"] == pytest.approx(100 * 30 * 86_400 * 1e-5)
    stored = made.dollars["a month of archive, once it is full"]
    assert stored == pytest.approx(30 * made.stored_day * 2e-11)


def test_a_seed_gives_one_outcome() -> None:
    first, second = Simulation(SMALL).run(), Simulation(SMALL).run()
    assert first == second
    assert first != Simulation(replace(SMALL, seed=2)).run()


def test_a_calm_world_doubles_nothing_and_waits_for_the_store_alone() -> None:
    world = replace(SMALL, put_p50=0.02, put_p99=0.02000001, slow_down=0.0, gather=0.0)
    out = Simulation(world).run()
    assert out.acknowledged == out.sent == len(out.latencies)
    assert (out.duplicates, out.refused, out.resent, out.slow_downs) == (0, 0, 0, 0)
    size = world.batch * world.stored_bytes
    assert min(out.latencies) >= 0.0199 + size / world.bandwidth
    assert out.latency(0.5) < 0.03
    assert out.stored == pytest.approx(out.sent * size)


def test_no_more_is_on_its_way_than_allowed() -> None:
    """Little's law: puts a second are at most places by latency."""
    world = replace(SMALL, nodes=1, in_flight=2, put_p50=0.1, put_p99=0.10001, gather=0.0)
    world = replace(world, rate=50_000.0, slow_down=0.0)
    out = Simulation(world).run()
    assert out.puts / out.ended <= 2 / 0.1 * 1.01
    assert out.acknowledged == out.sent


def test_gathering_saves_puts_and_costs_time() -> None:
    often = Simulation(replace(SMALL, gather=0.0, in_flight=64)).run()
    seldom = Simulation(replace(SMALL, gather=0.2, in_flight=64)).run()
    assert seldom.puts < often.puts / 3
    assert seldom.latency(0.5) > often.latency(0.5) + 0.05


def test_a_prefix_has_its_limit() -> None:
    tight = Simulation(replace(SMALL, nodes=1, prefix_puts=10.0, gather=0.0)).run()
    assert tight.slow_downs > 0 and tight.acknowledged == tight.sent


def test_a_node_whose_queue_is_full_refuses() -> None:
    world = replace(SMALL, nodes=1, queue_bytes=MIB, put_p50=0.5, put_p99=1.0)
    out = Simulation(world).run()
    assert out.refused > 0 and out.most_waiting <= MIB and out.acknowledged == out.sent


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.5, 5.0), st.integers(1, 4))
def test_whatever_dies_all_that_was_sent_is_acknowledged_once(
    seed: int, deaths: float, nodes: int
) -> None:
    world = replace(SMALL, seed=seed, deaths=deaths, nodes=nodes, rate=20_000.0)
    out = Simulation(world).run()
    assert out.acknowledged == out.sent == len(out.latencies)
    assert out.duplicates <= out.resent
    assert out.deaths or not out.resent


def test_the_worlds_of_the_plan_run() -> None:
    for world in worlds(2, 40_000.0, 0.5).values():
        out = Simulation(world).run()
        assert out.acknowledged == out.sent > 0
