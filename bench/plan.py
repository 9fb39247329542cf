"""The arithmetic of many machines: from measured figures of one to a rate for all.

    python -m bench.plan [--rate 10000000] [--nodes 24] [--seconds 10] [--no-simulation]

prints machines, requests, bytes and dollars for a rate, and then simulates the write path of such a
fleet: latency of an acknowledgement, requests, duplicates, memory, with and without nodes that die.
What is measured here and what is assumed stands in docs/explanation/scaling.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace

from bench.simulation import Outcome, Simulation, World

DAY = 86_400
MILLION = 1e6
GB = 1e9


@dataclass(frozen=True, slots=True)
class Measured:
    """Of lines of 300 bytes, on the machine of bench/README.md; bytes and seconds an entry."""

    entry: float = 300.0
    ingest_cpu: float = 1 / 510_676
    index_cpu: float = 4.9e-6
    verify_cpu: float = 2 / 2_211_865
    wal: float = 33.33
    archive: float = 24.47
    index: float = 63.1
    segment: float = 64 * (1 << 20)
    ingest_memory: float = 104 * (1 << 20)
    query_memory: float = 282 * (1 << 20)


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices of S3 Standard, us-east-1, US dollars; machines are by vCPU and hour, assumed."""

    put: float = 0.005 / 1_000
    get: float = 0.0004 / 1_000
    month: float = 0.023 / GB
    cold_month: float = 0.00099 / GB
    core_hour: float = 0.045


@dataclass(frozen=True, slots=True)
class Fleet:
    """How a fleet is laid out. `load` is the part of a core that is planned to be busy."""

    rate: float = 10_000_000.0
    cores: int = 4
    load: float = 0.5
    edge_gbit: float = 10.0
    edge_load: float = 0.5
    heartbeat: float = 2.0
    peak: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rate needs. Counts of machines are whole; bytes, requests and dollars as they say."""

    ingest_nodes: int
    ingest_rate: float
    query_nodes: int
    edge_nodes: int
    wire_gbit: float
    mirror_gbit: float
    store_bytes: float
    wal_puts: float
    archive_puts: float
    reads_back: float
    heartbeats: float
    listed_month: float
    heads: float
    stored_day: float
    index_day: float
    tiles_day: float
    dollars: dict[str, float]


def plan(
    fleet: Fleet, wal_puts: float, measured: Measured | None = None, prices: Prices | None = None
) -> Plan:
    """Returns what a fleet needs where all of it puts `wal_puts` write-ahead objects a second."""
    measured, prices = measured or Measured(), prices or Prices()
    rate = fleet.rate * fleet.peak
    usable = fleet.cores * fleet.load
    ingest = _whole(rate * measured.ingest_cpu / usable)
    query = _whole(rate * measured.index_cpu / usable)
    wire = rate * measured.entry * 8 / GB
    edges = _whole(wire / (fleet.edge_gbit * fleet.edge_load))
    segments = fleet.rate * measured.archive / measured.segment
    archive_puts = 2 * segments
    reads_back = 2 * archive_puts
    heartbeats = (ingest + query) / fleet.heartbeat
    month = 30 * DAY
    stored = fleet.rate * DAY * measured.archive
    listed = segments * 2 * month / 1_000
    dollars = {
        "write-ahead puts": wal_puts * month * prices.put,
        "archive puts": archive_puts * month * prices.put,
        "heads and reading back": reads_back * month * prices.get,
        "heartbeats": heartbeats * month * prices.put,
        "a month of archive, once it is full": 30 * stored * prices.month,
        "the same bytes in Glacier Deep Archive": 30 * stored * prices.cold_month,
        "cores": (ingest + query + edges) * fleet.cores * 720 * prices.core_hour,
    }
    return Plan(
        ingest_nodes=ingest,
        ingest_rate=rate / ingest,
        query_nodes=query,
        edge_nodes=edges,
        wire_gbit=wire,
        mirror_gbit=rate * measured.archive * 8 / GB,
        store_bytes=fleet.rate * (measured.wal + measured.archive),
        wal_puts=wal_puts,
        archive_puts=archive_puts,
        reads_back=reads_back,
        heartbeats=heartbeats,
        listed_month=listed,
        heads=ingest / fleet.heartbeat,
        stored_day=stored,
        index_day=fleet.rate * DAY * measured.index,
        tiles_day=fleet.rate * DAY * 32 / 255,
        dollars=dollars,
    )


def _whole(machines: float) -> int:
    return max(1, int(-(-machines // 1)))


def told(made: Plan) -> str:
    """Returns a plan as Markdown."""
    names = {item.name: getattr(made, item.name) for item in fields(made) if item.name != "dollars"}
    lines = ["| | |", "|---|---:|"]
    lines += [f"| {name.replace('_', ' ')} | {value:,.4g} |" for name, value in names.items()]
    lines += [f"| {name}, US$ a month | {value:,.0f} |" for name, value in made.dollars.items()]
    return "\n".join(lines)


def row(name: str, world: World, out: Outcome) -> str:
    """Returns one simulated world as a row of Markdown."""
    per = out.puts / world.seconds
    return (
        f"| {name} | {1e3 * out.latency(0.5):.0f} | {1e3 * out.latency(0.99):.0f} "
        f"| {1e3 * out.latency(1):,.0f} | {per:,.0f} | {out.busiest_prefix:,.0f} "
        f"| {out.slow_downs} | {out.deaths} | {out.resent} | {out.duplicates} "
        f"| {out.most_waiting / 1e6:.0f} | {out.sent - out.acknowledged} |"
    )


HEAD = (
    "| world | p50 ms | p99 ms | max ms | puts/s | of one prefix | slow-downs | deaths | batches "
    "sent again | doubled | MB waiting in a node | lost |\n|---|" + "---:|" * 11
)


def worlds(nodes: int, rate: float, seconds: float) -> dict[str, World]:
    """The worlds that are simulated for a plan."""
    calm = World(nodes=nodes, rate=rate, seconds=seconds)
    return {
        "calm": calm,
        "a node dies every 5 s": replace(calm, deaths=0.2),
        "a slow store: p50 100 ms, p99 1 s": replace(calm, put_p50=0.1, put_p99=1.0),
        "1 in 20 puts refused": replace(calm, slow_down=0.05),
        "one prefix allows 50 puts/s": replace(calm, prefix_puts=50.0),
        "half the nodes": replace(calm, nodes=max(1, nodes // 2)),
        "batches of 100 entries": replace(calm, batch=100, rate=rate / 10),
    }


def main() -> None:
    """Prints the plan, then the simulation."""
    parser = argparse.ArgumentParser(prog="bench.plan", description=__doc__)
    parser.add_argument("--rate", type=float, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="simulated")
    parser.add_argument("--nodes", type=int, help="ingest nodes that are simulated (else: planned)")
    parser.add_argument("--no-simulation", action="store_true")
    chosen = parser.parse_args()
    fleet = Fleet(rate=chosen.rate)
    nodes = chosen.nodes or plan(fleet, 0.0).ingest_nodes
    if chosen.no_simulation:
        print(told(plan(fleet, nodes / World().put_p50)))
        return
    rows, puts = [], 0.0
    for name, world in worlds(nodes, chosen.rate, chosen.seconds).items():
        out = Simulation(world).run()
        puts = puts or out.puts / world.seconds
        rows.append(row(name, world, out))
    print(told(plan(fleet, puts)))
    print(f"\n{nodes} ingest nodes\n\n{HEAD}\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
