"""The suites of an S3 bucket with Object Lock, whichever server it is on."""

from __future__ import annotations

import pytest
from behaviour import StoreBehaviour
from behaviour_locks import LockBehaviour

from muniment.store.port import Store
from muniment.store.s3 import S3Store


class LockedBucketBehaviour(StoreBehaviour, LockBehaviour):
    """Both suites; the store is an S3Store."""

    @pytest.fixture
    def lockable(self, store: Store) -> Store:
        return store

    def delete(self, store: Store, key: str) -> None:
        """A plain DELETE, as any client sends it."""
        assert isinstance(store, S3Store)
        assert store._wire.send("delete", "DELETE", store._folder + key).status == 204
