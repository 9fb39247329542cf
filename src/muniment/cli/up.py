"""`muniment up`: a whole fleet on this machine, for a first look, a demonstration, tests."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.failure import AnswerIsNo
from muniment.cli.options import json_option
from muniment.cli.terminal import console, one_line

if TYPE_CHECKING:
    from muniment.up.control import Order
    from muniment.up.fleet import Fleet
    from muniment.up.places import Places
    from muniment.up.plan import Wish
    from muniment.up.status import ProcessStatus

FOLDER = Path("muniment-fleet")
PREFIX = 9
"""Columns before each line: the longest name is that of a node with two digits."""

_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    help="Where all of the fleet is kept.",
)


@click.group(invoke_without_command=True)
@click.option("--nodes", type=click.IntRange(1), help="Nodes that take entries (3).")
@click.option("--query", type=click.IntRange(1), help="Nodes that search (1).")
@_folder
@click.option("--store", metavar="URL", help="Shared store, such as s3://BUCKET (a folder in DIR).")
@click.option(
    "--durability", type=click.Choice(["local", "replicated"]), help="When entries are answered."
)
@click.option(
    "--edge", type=click.Choice(["haproxy", "nginx", "envoy", "none"]), help="What is in front."
)
@click.option("--host", metavar="IP", help="Address on which the edge listens (127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the edge (8443).")
@click.option("--demo", is_flag=True, help="Write made-up access lines all the time.")
@click.option("--quiet", is_flag=True, help="Show what the fleet does, not what its nodes print.")
@click.pass_context
def up(context: click.Context, /, folder: Path, demo: bool, quiet: bool, **wished: Any) -> None:
    """Run a whole fleet on this machine, until Ctrl-C.

    Makes what it needs in DIR: certificates, tokens, the settings of each node. Started again on
    the same DIR, the fleet goes on. In a second terminal: `up status`, `scale`, `restart`, `kill`.

    \b
    Exit codes: 0 all ended well, 1 something did not (see DIR/NODE.log), 2 it could not start.
    """
    if context.invoked_subcommand is not None:
        if any(value is not None for value in wished.values()):
            raise click.UsageError("the options of `up` are for starting it: leave them out")
        return
    from muniment.up import run
    from muniment.up.fleet import Fleet

    wish = _wish(wished)
    with run.owning(folder):
        places, plan, token = run.make(folder, wish)
        fleet = Fleet(places, plan, _shower(quiet))
        if not asyncio.run(run.run(fleet, token, _announce, _demo if demo else None)):
            raise AnswerIsNo("not everything ended well", advice=f"see {places.folder}/*.log")


@up.command()
@_folder
@json_option("Print one JSON object for each process.")
def status(folder: Path, as_json: bool) -> None:
    """Show the nodes: their state, entries and processes."""
    from muniment.up.control import Order

    processes: list[ProcessStatus] = []
    _ask(folder, Order("status"), processes.extend)
    if as_json:
        import msgspec

        for process in processes:
            click.echo(msgspec.json.encode(process).decode())
        return
    _table(processes)


@up.command()
@click.argument("count", type=click.IntRange(1))
@_folder
def scale(count: int, folder: Path) -> None:
    """Make the number of ingest nodes COUNT.

    Nodes that go are drained first; what they had is then read from the store.
    """
    from muniment.up.control import Order

    _ask(folder, Order("scale", count=count))


@up.command()
@_folder
def restart(folder: Path) -> None:
    """Restart all nodes, one after the other, without a gap."""
    from muniment.up.control import Order

    _ask(folder, Order("restart"))


@up.command()
@click.argument("node")
@click.option("--disk", is_flag=True, help="Delete its disk as well.")
@_folder
def kill(node: str, disk: bool, folder: Path) -> None:
    """Kill NODE with -9; it stays down until `up start`."""
    from muniment.up.control import Order

    _ask(folder, Order("kill", node=node, disk=disk))


@up.command()
@click.argument("node")
@_folder
def start(node: str, folder: Path) -> None:
    """Start NODE again that was killed."""
    from muniment.up.control import Order

    _ask(folder, Order("start", node=node))


def _wish(wished: Mapping[str, Any]) -> Wish:
    """Raises click.BadParameter, which names the option."""
    from pydantic import ValidationError

    from muniment.settings.kinds import Address
    from muniment.up.plan import Wish

    if wished["host"] is not None:
        try:
            Address(wished["host"], 1).is_loopback  # noqa: B018 (raises for what is no address)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--host") from None
    try:
        return Wish.model_validate(wished)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        message = found["msg"].removeprefix("Value error, ")
        raise click.BadParameter(message, param_hint=f"--{found['loc'][0]}") from None


def _ask(
    folder: Path, order: Order, take: Callable[[list[ProcessStatus]], None] = lambda _: None
) -> None:
    from muniment.up.control import ask

    for told in ask(folder.absolute() / "control", order):
        if told.say:
            click.echo(one_line(told.say))
        take(told.processes)
        if told.error:
            raise AnswerIsNo(told.error)


def _table(processes: list[ProcessStatus]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("NODE", "STATE", "PID"):
        table.add_column(heading, no_wrap=True)
    for heading in ("STARTS", "WRITTEN", "MIRRORED"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("URL", no_wrap=True)
    for one in processes:
        numbers = [f"{number:,}" for number in (one.restarts + 1, one.written, one.mirrored)]
        table.add_row(one.name, one.state, str(one.pid or "-"), *numbers, one.url)
    console().print(table)


def _shower(quiet: bool) -> Callable[[str, str], None]:
    def show(name: str, line: str) -> None:
        if not quiet or name == "up":
            click.echo(f"{name:<{PREFIX}} | {one_line(line)}")
            sys.stdout.flush()

    return show


def _announce(fleet: Fleet, token: str | None) -> None:
    places, url = fleet.places, fleet.plan.url
    ca, client = places.authority.certificate, places.identity("client")
    lines = [
        f"Muniment is up at {url}",
        f"  certificate authority: {ca}",
        f"  a client's certificate: {client.certificate} (key: {client.key})",
    ]
    if token is not None:
        lines += ["The admin token of this fleet, shown this once and stored only as a hash:"]
        lines += [f"  {token}"]
    lines += [*_hints(places, url)]
    click.echo("\n".join(lines))
    sys.stdout.flush()


async def _demo(fleet: Fleet) -> None:
    from muniment.clock import SystemClock
    from muniment.log.disk import PosixDisk
    from muniment.up.demo import demo_token, write_demo

    clock = SystemClock()
    token = demo_token(fleet.places, PosixDisk(), clock)
    await write_demo(fleet.plan, fleet.places, token, clock)


def _hints(places: Places, url: str) -> list[str]:
    ca, there = places.authority.certificate, f" --dir {places.folder}"
    return [
        "In another terminal:",
        f"  export MUNIMENT_URL={url} MUNIMENT_TOKEN=...",
        f"  write:    muniment send access.log --as haproxy --ca {ca}",
        f"  read:     muniment search 'status:>=500' --ca {ca}",
        f"  console:  {url}/ (sign in with the token; the browser does not know the authority yet)",
        f"  look:     muniment up status{there}",
        f"  change:   muniment up scale 5{there}; muniment up restart{there}",
        "Ctrl-C ends all of it in order.",
    ]
