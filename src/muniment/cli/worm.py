"""`muniment worm check`: is the write-once promise kept, on the store that runs?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment.cli.failure import AnswerIsNo
from muniment.cli.options import json_option
from muniment.cli.terminal import note, one_line, quantity
from muniment.errors import SettingsError

if TYPE_CHECKING:
    from muniment.settings import Settings, StoreSettings, WalSettings
    from muniment.store.worm import Report

WAL = "wal"


@click.group()
def worm() -> None:
    """Prove that stores keep what they promise."""


@worm.command()
@click.option(
    "--store", "name", metavar="NAME|URL", help="One store of the settings; all by default."
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The server's settings; ./muniment.toml by default, also MUNIMENT_CONFIG.",
)
@click.option("--all", "everything", is_flag=True, help="Look at every lock, not at a sample.")
@click.option("--repair", is_flag=True, help="Undo delete markers and later versions.")
@json_option("Print the reports as one JSON object.")
def check(
    name: str | None, config: Path | None, everything: bool, repair: bool, as_json: bool
) -> None:
    """Try to break the promise of each store, on objects of the check's own.

    Each line says what was tried, what must happen, and what happened. The objects are locked for
    a minute, and removed then or by the next check. The stores' settings are compared with the
    server's, and so are the locks of segments and attachments.

    Exit code 0: everything is kept, as far as it can be shown. 1: a promise is broken. 2: a store
    could not be asked.
    """
    from muniment.settings import load

    settings = load(config=config)
    reports = [_check(settings, one, everything, repair) for one in _chosen(settings, name)]
    if as_json:
        click.echo(json.dumps({"stores": [report.as_json() for report in reports]}))
    else:
        for report in reports:
            _show(report)
    broken = sum(len(report.broken) + report.broken_left_out for report in reports)
    if broken:
        raise AnswerIsNo(f"{quantity(broken, 'promise')} broken")


def _chosen(settings: Settings, name: str | None) -> list[StoreSettings | WalSettings]:
    """The stores to check: those of the settings, or the one that was named."""
    there: list[StoreSettings | WalSettings] = [*settings.store]
    if settings.wal is not None:
        there.append(settings.wal)
    named = there
    if name is not None:
        there = [one for one in named if name.rstrip("/") in (_name(one), one.url)]
    if not there and name is None:
        raise SettingsError("there is no store in the settings: add a [[store]], or give --config")
    if not there:
        known = ", ".join(map(_name, named)) or "none"
        raise SettingsError(
            f"there is no store {name!r} in the settings (there: {known}): only those are checked"
        )
    return there


def _name(one: StoreSettings | WalSettings) -> str:
    return getattr(one, "name", WAL)


def _check(
    settings: Settings, one: StoreSettings | WalSettings, everything: bool, repair: bool
) -> Report:
    from muniment.settings import StoreSettings
    from muniment.store.opening import open_store
    from muniment.store.worm import check_archive, check_wal, expected_of

    store = open_store(one, _name(one))
    try:
        if not isinstance(one, StoreSettings):
            return check_wal(store)
        expected = expected_of(settings, one)
        return check_archive(store, one, expected, everything=everything, repair=repair)
    finally:
        store.close()


def _show(report: Report) -> None:
    click.echo(f"{one_line(report.store)} {one_line(report.url)}")
    for probe in report.probes:
        click.echo(f"  {one_line(str(probe))}")
    if report.left_out:
        note(f"{quantity(report.left_out, 'line')} more, {report.broken_left_out:,} of them BROKEN")
