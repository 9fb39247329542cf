"""Durability `replicated` of a node: its shards are claimed in the write-ahead store.

Made before the shards are opened. Each claimed shard's files get what the store has more, which was
stored and not yet on this disk when the node ended; then the shard writes through its replica.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from muniment.clock import Clock
from muniment.data_directory import Randomness
from muniment.errors import NoSuchObject, NotFound, StoreFailing
from muniment.log.disk import Disk
from muniment.log.note import Signer, Verifier
from muniment.log.shard import NAME as SHARD_NAME
from muniment.settings import WalSettings
from muniment.store.opening import open_store
from muniment.store.port import Store
from muniment.store.takeover import Taken, bring_up, take_over
from muniment.store.wal import (
    Claim,
    Node,
    Tree,
    WalReplica,
    check_wal_store,
    claim,
    get_shard_key,
    node_instance,
    put_shard_key,
    read_takeover_secret,
)
from muniment.store.wal.names import ShardName, prefix

Closing = Callable[[Claim, str, str, Verifier], Taken]
"""Carries what is left of a claimed shard (log, name, key) to the archive."""

NAME = "wal"
KEYS = "keys/"

_logger = logging.getLogger(__name__)


class Replication:
    """The claims of a node. Close it after its shards."""

    def __init__(
        self,
        settings: WalSettings,
        data: Path,
        node: str,
        origin: str,
        *,
        disk: Disk,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        """Opens and tries the store. Raises SettingsError where it cannot do; StoreFailing."""
        self.store = open_store(settings, NAME)
        self.claims: dict[tuple[str, str], Claim] = {}
        self.uncovered: set[tuple[str, str]] = set()
        self._settings, self._origin = settings, origin
        self._disk, self._clock, self._randomness = disk, clock, randomness
        self._secret = None
        if settings.takeover_secret is not None:
            self._secret = read_takeover_secret(settings.takeover_secret)
        check_wal_store(self.store)
        self._node = Node(node, node_instance(data, disk, randomness))

    def claim(
        self, log: str, shard: str, *, take_over: bool = False, tree: Tree | None = None
    ) -> Claim:
        """Claims a shard. Raises Fenced where another node wrote it last, StoreFailing, Corrupt."""
        found = self._claim(log, shard, take_over=take_over, tree=tree)
        self.claims[log, shard] = found
        return found

    def _claim(
        self, log: str, shard: str, *, take_over: bool = False, tree: Tree | None = None
    ) -> Claim:
        return claim(
            self.store,
            self._origin,
            log,
            shard,
            self._node,
            clock=self._clock,
            randomness=self._randomness,
            take_over=take_over,
            tree=tree,
        )

    def open(self, log: str, path: Path, signer: Signer) -> WalReplica:
        """Claims a shard whose files are here, brings them up, and returns what it writes through.

        Where the files hold more than the store ever had, from a time of durability `local`, the
        store is told of it first: nobody can then take the shard over without these entries. The
        shard's key goes to the store, encrypted, where a takeover secret is set.
        """
        found = self.claim(log, path.name)
        tree = bring_up(found, path, signer.verifier, self._disk)
        if tree.size > found.size:
            found = self._state(log, path.name, found, tree)
        if self._secret is not None:
            put_shard_key(
                self.store,
                self._secret,
                self._origin,
                log,
                path.name,
                signer.export(),
                self._randomness,
            )
        return found.replica(self._settings)

    def _state(self, log: str, shard: str, before: Claim, tree: Tree) -> Claim:
        """Claims a shard once more, with a fence that says how much of it is here."""
        _logger.warning(
            "%s/%s: entries %d to %d were written with durability local: they survive this node "
            "only once the archive has them; until then a takeover is refused",
            log,
            shard,
            before.size,
            tree.size - 1,
        )
        before.close()
        self.uncovered.add((log, shard))
        return self.claim(log, shard, tree=tree)

    def shards(self, log: str) -> list[str]:
        """Returns the shards of a log whose keys are in the store. Raises NotFound for none."""
        prefix = f"{KEYS}{log}/"
        listed = (item.key.removeprefix(prefix) for item in self.store.list(prefix))
        found = [name for name in listed if SHARD_NAME.fullmatch(name)]
        if not found:
            raise NotFound(f"{self.store.url} holds no key of a shard of {log}")
        return found

    def key(self, log: str, shard: str) -> Signer:
        """Returns a shard's key out of the store.

        Raises NoSuchObject where it is not there, SettingsError for another secret, Corrupt.
        """
        assert self._secret is not None
        return Signer.parse(get_shard_key(self.store, self._secret, self._origin, log, shard))

    def take_over(self, archive: Store, log: str, shard: str, draft: Path, signer: Signer) -> Taken:
        """Claims a shard from whoever has it, and makes its files in `draft` from the stores.

        Raises as `takeover.take_over`. Where it fails after the claim, the old owner is fenced all
        the same, and the takeover can be run again.
        """
        found = self.claim(log, shard, take_over=True)
        return take_over(found, archive, log, shard, draft, signer.verifier, self._disk)

    def close_out(self, closing: Closing, log: str, shard: str) -> Taken:
        """Claims a shard from whoever had it, has the archive get all of it, and forgets its key.

        Raises NotFound where it is closed already; as `closing.close_out`.
        """
        try:
            signer = self.key(log, shard)
        except NoSuchObject as error:
            raise NotFound(f"{log}/{shard} is closed") from error
        found = self._claim(log, shard, take_over=True)  # not one of `claims`: it is never written
        try:
            taken = closing(found, log, shard, signer.verifier)
            self.store.remove(f"{KEYS}{log}/{shard}")
            return taken
        except NotFound as error:  # which would say that it is closed
            raise StoreFailing(f"{log}/{shard}: {error.detail}", reason="busy") from error
        finally:
            found.close()

    def newest(self, log: str, shard: str) -> str:
        """Returns the last key of a shard's write-ahead objects: another later if one writes it.

        Raises StoreFailing.
        """
        of = ShardName(self._origin, log, shard)
        return max((item.key for item in self.store.list(prefix(of))), default="")

    def archived(self, log: str, shard: str, covered: int) -> None:
        """Tells that the primary store has all segments that end at or below `covered`."""
        found = self.claims.get((log, shard))
        if found is not None:
            found.clean(covered)

    def close(self) -> None:
        """Ends the claims."""
        for found in self.claims.values():
            found.close()
        self.store.close()
