"""The follower that carries sealed segments and attachments to the stores, and reads them back.

`lane` is a thread a store, `segments` and `attachments` know what is to be carried, `carry` how,
`books` what was; `eviction` takes off the local disk what the primary store has shown to have.
"""

from muniment.store.archive.archive import Archive
from muniment.store.archive.port import Cache, Destination, Rules
from muniment.store.archive.status import ArchiveStatus, StoreStatus

__all__ = [
    "Archive",
    "ArchiveStatus",
    "Cache",
    "Destination",
    "Rules",
    "StoreStatus",
]
