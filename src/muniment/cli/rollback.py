"""`muniment rollback`: an object of a balancer, put back to an earlier version."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from muniment.capture.snapshot import Json, ObjectName
from muniment.cli.client import Server
from muniment.cli.failure import AnswerIsNo
from muniment.cli.options import agent_option, json_option, log_option, server_options
from muniment.cli.patience import patiently
from muniment.cli.terminal import note, one_line, printable, quantity
from muniment.clock import SystemClock

if TYPE_CHECKING:
    from muniment.capture.settings import AgentSettings
    from muniment.log.note import Verifier
    from muniment.rollback.act import Rollback
    from muniment.rollback.plan import Plan, Wanted
    from muniment.rollback.port import Applier

_File = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("object_", metavar="OBJECT", required=False)
@click.option("--to", "version", help="The version: a number, `previous`, a digest, a time.")
@agent_option
@click.option("--plan", "plan_to", type=_File, help="Write the plan to a file and do nothing.")
@click.option("--apply", "plan_from", type=_File, help="Carry out a plan that was written.")
@click.option("--yes", is_flag=True, help="Do not ask before the plan is carried out.")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--any-agent", is_flag=True, help="Take versions that this agent's key did not sign.")
@json_option("Print the plan, or what was done, as JSON.")
@log_option
@server_options
def rollback(
    object_: str | None,
    version: str | None,
    config: Path,
    plan_to: Path | None,
    plan_from: Path | None,
    yes: bool,
    reason: str,
    any_agent: bool,
    as_json: bool,
    log: str,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Put OBJECT back to an earlier version, through the balancer's own interface.

    The plan is shown first. It is recorded before anything is changed, and what came of it after.
    Where the live state has moved since the plan was made, nothing is done. Run it where the
    agent runs: its configuration says how the balancer is reached.
    """
    from muniment.capture.settings import load
    from muniment.rollback.act import Rollback

    settings = load(config)
    saved = None if plan_from is None else _read_plan(plan_from)
    key = None if any_agent else _key(settings)
    name, asked = _asked(object_, version, saved)
    with Server(url, token, ca) as server:
        wanted = _wanted(server, log, name, asked, key)
        with closing(_applier(name, settings)) as applier:
            act = Rollback(applier, partial(_record, server, log), SystemClock(), _who())
            plan = saved or act.plan(name, wanted)
            if not as_json or not (plan_to or yes):
                _show(plan)
            if plan_to is not None:
                plan_to.write_text(json.dumps(plan.to_json(), indent=1) + "\n")
                note(f"the plan is in {plan_to}; carry it out with --apply {plan_to}")
                return
            if not plan.steps:
                note("nothing to do: what can be set is as it was")
                return
            if not yes and not click.confirm("Carry out this plan?"):
                raise AnswerIsNo("nothing was changed")
            _carry_out(act, plan, wanted, reason, as_json)


def _carry_out(act: Rollback, plan: Plan, wanted: Wanted, reason: str, as_json: bool) -> None:
    outcome = act.carry_out(plan, wanted, reason)
    if as_json:
        done = {**plan.to_json(), "answers": list(outcome.answers)}
        click.echo(json.dumps({**done, "records": [outcome.begun, outcome.done]}))
    else:
        click.echo(one_line(f"{plan.name} is back at version {plan.number}"))
        note(f"on record: begun {outcome.begun}, done {outcome.done}")


def _read_plan(path: Path) -> Plan:
    from muniment.rollback.plan import Plan

    return Plan.from_json(path.read_bytes())


def _asked(object_: str | None, version: str | None, saved: Plan | None) -> tuple[ObjectName, str]:
    if saved is not None:
        if object_ or version:
            raise click.UsageError("--apply takes OBJECT and version from the plan")
        return saved.name, str(saved.number)
    if not object_ or not version:
        raise click.UsageError("name the OBJECT and the version: OBJECT --to VERSION")
    return ObjectName.parse(object_), version


def _wanted(
    server: Server, log: str, name: ObjectName, version: str, key: Verifier | None
) -> Wanted:
    """Returns the version to go back to: that of the log, if the agent's `key` vouches for it.

    Neither the stream nor the sender that the log names is trusted: who may write can claim the
    one, and agents may share a token. The server is not trusted either.
    """
    from muniment.rollback.plan import Wanted
    from muniment.rollback.vouched import check_version

    path = f"/api/v1/logs/{quote(log)}/version"
    found = patiently(partial(server.get_json, path, {"object": str(name), "v": version}))
    if key is not None:
        check_version(found, str(name), key)
    return Wanted(int(found["number"]), str(found.get("version") or ""), found.get("state"))


def _key(settings: AgentSettings) -> Verifier:
    from muniment.capture.keys import verifier

    return verifier(settings.state, settings.name)


def _applier(name: ObjectName, settings: AgentSettings) -> Applier:
    from muniment.capture.keys import redaction_key
    from muniment.rollback.systems import applier_of

    return applier_of(name, settings, redaction_key(settings.state))


def _who() -> str:
    """The person at the keyboard, also behind sudo, at this host."""
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def _record(server: Server, log: str, event: Mapping[str, Json]) -> str:
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    id_ = f"rollback-{uuid.uuid4()}"
    send = partial(server.append, log, "muniment", body, "application/json", id_)
    answer = patiently(send, reconnect=True)
    return f"{answer['log']}/{answer['shard']}/{answer['first']}"


def _show(plan: Plan) -> None:
    click.echo(one_line(f"{plan.name}: to version {plan.number} ({plan.version[:12] or 'absent'})"))
    for field in plan.fields:
        before, after = (_short(field, side) for side in ("before", "after"))
        click.echo(one_line(f"  {field['path'] or '/'}: {before} -> {after}"))
    click.echo(quantity(len(plan.steps), "step"))
    for number, step in enumerate(plan.steps, 1):
        click.echo(printable(f"  {number}. {step.does}"))


def _short(field: Mapping[str, Json], side: str) -> str:
    if side not in field:
        return "(text)" if {"before", "after"}.isdisjoint(field) else "(none)"
    return json.dumps(field[side], ensure_ascii=False)[:200]
