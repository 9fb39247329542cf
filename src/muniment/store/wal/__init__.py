"""The write-ahead log of a shard in an object store: what `replicated` means.

`header` and `record` have the bytes of an object, `scan` finds where terms end, `chain` reads the
appends of them, `claim` begins a new term, `flight` and `replica` write it, `clean` removes what is
archived.
Why nothing that was acknowledged is lost, and no two nodes both commit, is in
docs/decisions/0021-terms-slots-and-fences.md.
"""

from muniment.store.wal.claim import Claim as Claim
from muniment.store.wal.claim import claim as claim
from muniment.store.wal.identity import Node as Node
from muniment.store.wal.identity import node_instance as node_instance
from muniment.store.wal.keys import get_shard_key as get_shard_key
from muniment.store.wal.keys import put_shard_key as put_shard_key
from muniment.store.wal.keys import read_takeover_secret as read_takeover_secret
from muniment.store.wal.probe import check_wal_store as check_wal_store
from muniment.store.wal.replica import WalReplica as WalReplica
from muniment.store.wal.scan import Tree as Tree
