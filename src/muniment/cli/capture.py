"""`muniment capture`: the agent beside a balancer."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from threading import Event
from types import FrameType

import click

from muniment.cli.failure import AnswerIsNo
from muniment.cli.options import agent_option, json_option
from muniment.cli.terminal import bytes_text, note, one_line, quantity


@click.group()
def capture() -> None:
    """Follow logs and state on this machine, and ship them, chained."""


@capture.command()
@agent_option
@click.option("--verbose", is_flag=True, help="Tell of what goes well, too.")
def run(config: Path, verbose: bool) -> None:
    """Run the agent until SIGTERM or Ctrl-C.

    What was not acknowledged yet waits on disk and is sent when the agent runs again.
    """
    from muniment.capture.agent import Agent
    from muniment.capture.settings import load

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load(config)
    stopping = Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    agent = Agent(settings, config.read_bytes())
    click.echo(f"muniment capture {settings.name} ships to {', '.join(settings.endpoints)}")
    sys.stdout.flush()
    agent.run(stopping)


@capture.command()
@agent_option
def check(config: Path) -> None:
    """Check the configuration, the files that it names, and whether the endpoints take parcels."""
    from muniment.capture.checks import problems
    from muniment.capture.settings import load

    settings = load(config)
    found = list(problems(settings))
    for one in found:
        note(f"problem: {one}")
    if found:
        raise AnswerIsNo(f"{quantity(len(found), 'problem')} with what the agent needs")
    endpoints = len(settings.endpoints)
    takes = "takes" if endpoints == 1 else "take"
    click.echo(f"{config}: well; {quantity(endpoints, 'endpoint')} {takes} parcels")


@capture.command()
@agent_option
def key(config: Path) -> None:
    """Print the public key that the agent's heads are signed with; it is made if there is none."""
    from muniment.capture.keys import signer
    from muniment.capture.settings import load

    settings = load(config)
    click.echo(str(signer(settings.state, settings.name).verifier))


@capture.command()
@agent_option
@json_option("Print the status as the agent wrote it.")
def status(config: Path, as_json: bool) -> None:
    """Show what the agent last said of itself: streams, positions, what waits in the spool."""
    import json

    from muniment.capture.settings import load
    from muniment.capture.status import read_status

    found = read_status(load(config).state)
    if as_json:
        click.echo(json.dumps(found))
        return
    spool = found["spool"]
    held = f"{bytes_text(spool['held'])} of {bytes_text(spool['max'])}"
    click.echo(f"{found['agent']} at {found['time']} (process {found['process']})")
    click.echo(f"  endpoint {found['endpoint']}; {held} wait{', FULL' if spool['full'] else ''}")
    for url, said in found["trouble"].items():
        click.echo(one_line(f"  {url}: {said}"))
    for name, stream in found["streams"].items():
        captured, kept = stream["captured"], stream["acknowledged"]
        text = f"  {name}: {captured:,} captured"
        if kept is not None:
            text += f", {kept:,} acknowledged, {captured - kept:,} wait"
        click.echo(one_line(text))
