"""What a check tries to do to an object of its own: the acts that a store must refuse.

Through the ports by default. A kind of store whose ports look before they ask (or that has acts
the ports do not have) brings attempts of its own, so that it is the store that is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from muniment.errors import StoreFailing, StoreLocked
from muniment.settings.store import Connection
from muniment.store.port import Lock, Store


class NotOffered(Exception):
    """This kind of store, or what it is spoken to with, has no such act."""


class Attempts(Protocol):
    """Acts against one version of an object. Each raises StoreLocked or StoreFailing if refused."""

    def delete_key(self, key: str) -> None:
        """Deletes a key without naming a version, as anybody would."""

    def delete_version(self, key: str, version: str, *, bypass: bool) -> None:
        """Deletes one version for good; `bypass` asks to pass governance mode."""

    def delete_many(self, key: str, version: str) -> None:
        """Deletes one version through the call for many objects. Raises NotOffered."""

    def retain(self, key: str, version: str, lock: Lock, *, bypass: bool) -> None:
        """Sets a retention as it is said, be it shorter or softer; mode `off` takes it off."""

    def put_damaged(self, key: str, body: bytes, sha256: bytes, lock: Lock | None) -> None:
        """Puts bytes with the SHA-256 of others."""

    def put(self, key: str, body: bytes, lock: Lock) -> None:
        """Puts bytes with a retention as it is said, be it over already."""


class PortAttempts:
    """The attempts as the ports of a store make them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def delete_key(self, key: str) -> None:
        self._store.remove(key)

    def delete_version(self, key: str, version: str, *, bypass: bool) -> None:
        self._store.write_once.remove_version(key, version, bypass=bypass)

    def delete_many(self, key: str, version: str) -> None:  # noqa: ARG002
        raise NotOffered("it has no call that deletes many objects")

    def retain(self, key: str, version: str, lock: Lock, *, bypass: bool) -> None:  # noqa: ARG002
        self._store.write_once.extend(key, lock, version=version)

    def put_damaged(self, key: str, body: bytes, sha256: bytes, lock: Lock | None) -> None:
        self._store.put(key, body, sha256=sha256, lock=lock)

    def put(self, key: str, body: bytes, lock: Lock) -> None:
        self._store.put(key, body, lock=lock)


def attempts_on(store: Store, connection: Connection | None) -> Attempts:
    """Returns the attempts for a store; those of its provider where there are some."""
    if connection is not None and connection.scheme == "s3":
        from muniment.store.worm.s3_probes import S3Attempts

        return S3Attempts(connection, store)
    return PortAttempts(store)


REFUSALS = ("refused", "credentials")
"""Reasons of StoreFailing that are the store's own no; credentials were good a moment before."""


def refusal(act: Callable[[], object]) -> str:
    """Does it; returns what the store refused it with, or nothing where it did it.

    Raises StoreFailing where the store could not be asked, and NotOffered.
    """
    try:
        act()
    except StoreLocked as error:
        return f"refused: {error.detail}"
    except StoreFailing as error:
        if error.reason in REFUSALS:
            return f"refused: {error.detail}"
        raise
    return ""
