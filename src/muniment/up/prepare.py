"""Makes what a fleet needs below its folder; what is there already stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from muniment.access import Scope, Tokens
from muniment.clock import Clock
from muniment.errors import SettingsError
from muniment.log.disk import Disk, write_file
from muniment.up.authority import Authority
from muniment.up.node_settings import EDGE, FLEET, NODES, node_settings
from muniment.up.places import OWN, Places
from muniment.up.plan import Plan

ADMIN, CLIENT = "admin", "client"
SECRET_BYTES = 32

Randomness = Callable[[int], bytes]


def make_folders(places: Places) -> None:
    """Makes the fleet's folder, for its owner alone.

    Raises SettingsError where there is a folder with something else in it, and OSError.
    """
    if places.folder.is_dir() and not places.plan.exists():
        strange = {path.name for path in places.folder.iterdir()} - {"tls", places.lock.name}
        if strange:
            raise SettingsError(
                f"{places.folder} holds no fleet, but {min(strange)}: name another with --dir"
            )
    for folder in (places.folder, places.folder / "tls"):
        folder.mkdir(mode=OWN, parents=True, exist_ok=True)


def prepare(
    places: Places,
    plan: Plan,
    *,
    disk: Disk,
    clock: Clock,
    randomness: Randomness = os.urandom,
) -> str | None:
    """Makes certificates, tokens, secrets, and the settings of each node that is present.

    Returns the admin token where it was made now: it is to be shown, and is nowhere else. One that
    was never shown is made anew. Raises SettingsError, Corrupt, OSError.
    """
    _certify(places, plan, disk, clock)
    if not places.takeover_secret.exists():
        secret = f"{randomness(SECRET_BYTES).hex()}\n".encode()
        write_file(disk, places.takeover_secret, secret, 0o600)
    for node in plan.present():
        places.node(node.name).mkdir(mode=OWN, exist_ok=True)
        if not places.settings(node.name).exists():
            text = node_settings(plan, node, places)
            write_file(disk, places.settings(node.name), text.encode(), 0o600)
    if plan.store == places.store.as_uri():
        places.store.mkdir(mode=OWN, exist_ok=True)
    tokens = Tokens.open(places.tokens, disk=disk, clock=clock, randomness=randomness)
    _make_fleet_token(places, tokens, disk)
    return _make_admin_token(tokens, announced=plan.announced)


def _certify(places: Places, plan: Plan, disk: Disk, clock: Clock) -> None:
    authority = Authority.open(places.authority, disk=disk, clock=clock)
    local = ("localhost", "127.0.0.1", "::1")
    for node in plan.present():
        authority.issue(node.name, places.identity(node.name), (NODES, *local))
    more = () if plan.host in (*local, "0.0.0.0", "::") else (plan.host,)  # noqa: S104
    authority.issue(EDGE, places.identity(EDGE), (*local, *more))
    authority.issue(CLIENT, places.identity(CLIENT))


def _make_fleet_token(places: Places, tokens: Tokens, disk: Disk) -> None:
    """The fleet's own token is made anew where its file is missing."""
    if FLEET not in _names(tokens) or not places.fleet_token.exists():
        _revoke(tokens, FLEET)
        _keep(disk, places.fleet_token, tokens.create(FLEET, [Scope.READ]))


def _make_admin_token(tokens: Tokens, *, announced: bool) -> str | None:
    if announced and ADMIN in _names(tokens):
        return None
    _revoke(tokens, ADMIN)
    return tokens.create(ADMIN, [Scope.ADMIN])


def _revoke(tokens: Tokens, name: str) -> None:
    id_ = _names(tokens).get(name)
    if id_ is not None:
        tokens.revoke(id_)


def _names(tokens: Tokens) -> Mapping[str, str]:
    return {record.name: record.id for record in tokens.records}


def _keep(disk: Disk, path: Path, token: str) -> None:
    write_file(disk, path, f"{token}\n".encode(), 0o600)
