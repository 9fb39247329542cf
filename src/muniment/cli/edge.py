"""`muniment edge`: the balancer in front of a fleet."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from types import FrameType

import click

from muniment.cli.failure import AnswerIsNo
from muniment.cli.terminal import note, printable

KINDS = ("haproxy", "nginx", "envoy", "kubernetes", "aws")
RUNNABLE = KINDS[:3]

fleet_option = click.option(
    "--fleet",
    default="edge.toml",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The description of the fleet.",
)


@click.group()
def edge() -> None:
    """Configure and run the balancer in front of a fleet."""


@edge.command()
@click.argument("kind", type=click.Choice(KINDS), metavar="KIND")
@fleet_option
@click.option("--out", type=click.Path(path_type=Path), help="A directory, or the main file.")
@click.option("--no-check", is_flag=True, help="Do not ask the balancer what it thinks of it.")
def render(kind: str, fleet: Path, out: Path | None, no_check: bool) -> None:
    """Write the configuration of a balancer: haproxy, nginx, envoy, kubernetes or aws.

    The balancer's own check looks at it, where it is installed here. Without --out, the files are
    printed.
    """
    from muniment.edge.description import load
    from muniment.edge.renderers import renderer

    description = load(fleet)
    for lack in description.lacking():
        note(lack)
    files = renderer(kind)(description)
    if not no_check:
        _check(kind, files)
    if out is None:
        for number, (name, text) in enumerate(files.items()):
            if len(files) > 1:
                click.echo(f"{'' if number == 0 else chr(10)}# --- {name}")
            click.echo(text, nl=False)
        return
    main = next(iter(files))
    directory, first = (out, main) if out.is_dir() or not out.suffix else (out.parent, out.name)
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = directory / (first if name == main else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(f"wrote {path}")


def _check(kind: str, files: Mapping[str, str]) -> None:
    import tempfile

    from muniment.edge.files import stage
    from muniment.edge.renderers import NoBinary, checker

    check = checker(kind)
    if check is None:
        return
    with tempfile.TemporaryDirectory() as directory:
        staged = stage(Path(directory), files)
        try:
            complaint = check(staged)
        except NoBinary as error:
            note(f"not checked: {error.detail}")
            return
    if complaint is not None:
        raise AnswerIsNo(
            f"{kind} refuses it: {printable(complaint)}\n"
            "--no-check writes it all the same: where the certificates are on another machine"
        )


@edge.command()
@click.argument("kind", type=click.Choice(RUNNABLE), metavar="KIND")
@fleet_option
@click.option(
    "--directory",
    default="muniment-edge",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="For its files and sockets; nobody else's.",
)
def run(kind: str, fleet: Path, directory: Path) -> None:
    """Run a balancer (haproxy, nginx or envoy) until SIGTERM or Ctrl-C, and follow the fleet.

    It is reloaded without a refused connection when the description, a certificate or the members
    change, and on SIGHUP; started again when it dies. What it would not take is never loaded.
    """
    from muniment.clock import SystemClock
    from muniment.edge.renderers import process
    from muniment.edge.run import Supervisor

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping, again = Event(), Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    def reload(_number: int, _frame: FrameType | None) -> None:
        again.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, reload)
    balancer = process(kind, directory.absolute())
    Supervisor(fleet, directory.absolute(), balancer, SystemClock()).run(stopping, again)
