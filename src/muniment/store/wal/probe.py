"""Whether a store can hold a write-ahead log: it must fence, and must let go of what it holds."""

from __future__ import annotations

from muniment.errors import SettingsError
from muniment.store.port import Mode, Store

PROBES = "check/wal/"


def check_wal_store(store: Store) -> None:
    """Raises SettingsError, with what to do, where the store will not do; StoreFailing."""
    bucket = store.write_once.bucket()
    if bucket.versioned:
        raise SettingsError(
            f"[wal] {store.url} keeps versions: a write-ahead object that is removed would stay, "
            "and some stores do not fence there; name a bucket without versioning"
        )
    if bucket.default_mode is not Mode.OFF and bucket.default_days:
        raise SettingsError(
            f"[wal] {store.url} locks what is put for {bucket.default_days} days: write-ahead "
            "objects could not be removed; name a bucket without a default retention"
        )
    if bucket.expires:
        raise SettingsError(
            f"[wal] {store.url} deletes objects by itself ({bucket.expires[0]}): acknowledged "
            "entries would be lost; remove that rule, or name another bucket"
        )
    if not store.fences(PROBES):
        raise SettingsError(
            f"[wal] {store.url} takes a conditional put (If-None-Match: *) and does not honour "
            "it: two nodes could write one shard; name a store whose put-if-absent is atomic, "
            "or set durability = local"
        )
