"""What the stores of the settings must give: an answer, access, the lock as configured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.cli.diagnosis import FAIL, OK, WARN, Found
from muniment.errors import MunimentError, StoreFailing

if TYPE_CHECKING:
    from muniment.settings import Settings, StoreSettings, WalSettings

_ADVICE = {
    "unreachable": "look at endpoint, name service and firewall; of a directory, at its mount",
    "slow": "look at the network to the store, or raise its timeout",
    "busy": "the store is up and has too much to do: look there",
    "full": "make room, or raise the quota",
    "credentials": "look at access_key and secret_key (or credentials), and at what they may do",
    "refused": "look at url, endpoint and region",
}


def look_at_stores(config: Path | None) -> Iterator[Found]:
    """Yields what was found of each store of the server's settings; nothing where it has none.

    Of a `[[store]]` only the bucket's settings and a list are read; `[wal]` is tried as at a start.
    """
    from muniment.settings import load

    try:
        settings = load(config=config)
    except MunimentError as error:
        yield Found("settings", FAIL, error.detail)
        return
    for store in settings.store:
        yield _archive(settings, store)
    if settings.wal is not None:
        yield _wal(settings.wal)


def _archive(settings: Settings, one: StoreSettings) -> Found:
    from muniment.store.names import LOGS
    from muniment.store.opening import open_store

    check = f"store {one.name}"
    try:
        store = open_store(one, one.name)
        try:
            bucket = store.write_once.bucket()
            next(iter(store.list(LOGS)), None)
        finally:
            store.close()
    except MunimentError as error:
        return _failing(check, one.url, error)
    if bucket.expires:
        return Found(check, FAIL, f"{one.url} deletes by itself: {bucket.expires[0]}; remove that")
    if one.lock == "off":
        return Found(check, OK, f"{one.url} answers; lock = off: nothing in it is locked")
    if not bucket.lockable:
        advice = "name a bucket made with Object Lock, or say lock = off"
        return Found(check, FAIL, f"lock = {one.lock}, but {one.url} cannot lock: {advice}")
    bare = [log for log in settings.logs if not _minimum(settings, log)]
    if bare and not bucket.default_days:
        text = f"lock = {one.lock}, but for no time: set minimum in [retention.{bare[0]}]"
        return Found(check, FAIL, text)
    return Found(check, OK, f"{one.url} answers, and can lock; `muniment worm check` tries it")


def _minimum(settings: Settings, log: str) -> bool:
    return log in settings.retention and settings.retention[log].minimum is not None


def _wal(wal: WalSettings) -> Found:
    from muniment.store.opening import open_store
    from muniment.store.wal import check_wal_store, read_takeover_secret

    try:
        if wal.takeover_secret is not None:
            read_takeover_secret(wal.takeover_secret)
        store = open_store(wal, "wal")
        try:
            check_wal_store(store)
        finally:
            store.close()
    except MunimentError as error:
        return _failing("wal", wal.url, error)
    if wal.takeover_secret is None:
        text = f"{wal.url} fences; without takeover_secret no other node can go on with a shard"
        return Found("wal", WARN, text)
    return Found("wal", OK, f"{wal.url} answers, and lets one writer win")


def _failing(check: str, url: str, error: MunimentError) -> Found:
    place = "" if url in error.detail else f"{url}: "
    advice = _ADVICE.get(error.reason, "") if isinstance(error, StoreFailing) else ""
    return Found(check, FAIL, f"{place}{error.detail}; {advice}".rstrip("; "))
