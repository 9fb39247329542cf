"""What settings say together: stores with durability, a place with those of its logs and stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment.settings.fleet import STORE, Role
from muniment.settings.store import Durability

if TYPE_CHECKING:
    from muniment.settings.node import Settings


def check_stores(settings: Settings) -> None:
    """Raises ValueError where stores, durability and retention do not go together."""
    names = [store.name for store in settings.store]
    if len(set(names)) != len(names):
        raise ValueError("store: every table has a name of its own; the first is the primary")
    if "wal" in names:
        raise ValueError("store: `wal` is what the write-ahead store is called")
    replicated = settings.durability is Durability.REPLICATED
    if replicated != (settings.wal is not None):
        raise ValueError("durability = replicated and a [wal] table go together")
    if replicated and not settings.store:
        raise ValueError("durability = replicated needs a [[store]] for what is sealed")
    if settings.wal is not None and settings.wal.place in [store.place for store in settings.store]:
        raise ValueError(
            f"wal and store are both {settings.wal.url}: write-ahead objects are removed, what is "
            "archived must stay; give each a url of its own"
        )
    if (settings.cache_size or settings.cache_age) and not settings.store:
        raise ValueError("cache_size and cache_age evict what a [[store]] has: name one")
    for table, given in (("retention", settings.retention), ("residency", settings.residency)):
        wrong = sorted(set(given) - set(settings.logs))
        if wrong:
            raise ValueError(f"{table}.{wrong[0]}: there is no such log in logs")


def check_fleet(settings: Settings) -> None:
    """Raises ValueError where roles, members, and the places of logs and stores do not agree."""
    if not settings.roles or len(set(settings.roles)) != len(settings.roles):
        raise ValueError("roles names each role once, and at least one")
    if Role.WATCH in settings.roles and len(settings.roles) < len(Role):
        raise ValueError(
            "roles: watch counts by the index, and puts what it finds into a shard of its own: it "
            "goes together with ingest and query"
        )
    fleet = settings.fleet
    if fleet is None:
        if Role.INGEST not in settings.roles:
            raise ValueError("roles: a node without ingest mirrors others: say who in [fleet]")
    else:
        if STORE in fleet.members and fleet.store is None and settings.wal is None:
            raise ValueError("fleet.members: `store` needs a [fleet.store] or a [wal]")
        archives = [store.place for store in settings.store]
        if fleet.store is not None and fleet.store.place in archives:
            raise ValueError(
                "fleet.store is a [[store]]: each heartbeat replaces an object, and what is "
                "archived is kept in every version; give it a url of its own"
            )
        if fleet.takeover is not None and (
            settings.wal is None or settings.wal.takeover_secret is None
        ):
            raise ValueError("fleet.takeover needs a takeover_secret in [wal]")
    for name, given in (("edges", settings.edges), ("writers", settings.writers)):
        if given and settings.tls_client_ca is None:
            raise ValueError(f"{name} are known by their certificates: set tls_client_ca")
    if settings.tls_client_ca is not None and settings.tls_certificate is None:
        raise ValueError("tls_client_ca needs tls_certificate and tls_key")
    if set(settings.edges) & set(settings.writers):
        raise ValueError("writers: an edge has no right of its own; it speaks for its clients")
    _check_residency(settings)


def _check_residency(settings: Settings) -> None:
    """A log with a residency lies on a node and in stores of that jurisdiction, or nowhere."""
    places = {"jurisdiction": settings.jurisdiction}
    places |= {f"store.{store.name}.jurisdiction": store.jurisdiction for store in settings.store}
    if settings.wal is not None:
        places["wal.jurisdiction"] = settings.wal.jurisdiction
    for log, residency in settings.residency.items():
        for setting, place in places.items():
            if place != residency:
                raise ValueError(
                    f"residency.{log} is {residency}, but {setting} is {place or 'not set'}: "
                    "what comes to that log may not leave its jurisdiction"
                )
