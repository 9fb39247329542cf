"""Reading shards of which a part is in a store only, in the query process.

The connection comes with the first question, over stdin: neither the list of processes nor the
environment shows its secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muniment.data_names import ARCHIVE, LOGS
from muniment.log import ShardReader

if TYPE_CHECKING:
    from muniment.index.reading import OpenReader
    from muniment.log.disk import Disk
    from muniment.settings.store import StoreSettings


def told(store: StoreSettings) -> dict[str, Any]:
    """Returns a store's settings as JSON, its secret included."""
    secret = store.secret_key.get_secret_value() if store.secret_key is not None else None
    return store.model_dump(mode="json") | {"secret_key": secret}


def tiered_disk(data: Path, store: StoreSettings) -> Disk:
    """Returns the disk of a data directory whose primary store is this one; nothing is asked.

    For any process beside the node. Raises SettingsError where the store's SDK is missing.
    """
    from muniment.log.disk import PosixDisk
    from muniment.store.archive.catalog import FileCatalog
    from muniment.store.opening import open_store
    from muniment.store.tiered import TieredDisk

    catalog = FileCatalog(data / ARCHIVE, store.name)
    return TieredDisk(PosixDisk(), data / LOGS, catalog, open_store(store, store.name))


def open_reader(data: Path, store: Mapping[str, Any] | None) -> OpenReader:
    """Returns what opens the shards of a data directory; `store` is what `told` made of it."""
    if store is None:
        return ShardReader
    from muniment.settings.store import StoreSettings  # most nodes need none of this

    return partial(ShardReader, disk=tiered_disk(data, StoreSettings.model_validate(store)))
