"""The worker's side of a verification on a cluster: one segment, from a task to an answer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from muniment import __version__
from muniment.errors import MunimentError
from muniment.log.disk import PosixDisk
from muniment.log.note import Verifier
from muniment.log.verify_segment import check_segment
from muniment.trust.executor_messages import (
    Answer,
    StorePlace,
    Task,
    answer_of,
    decode_task,
    encode,
)

if TYPE_CHECKING:
    from muniment.store.port import Store


def work(task: bytes) -> bytes:
    """Reads the segment that a task names and returns what it is.

    The one function that a cluster runs; it is found by its name there, so Muniment of the same
    release must be installed. What it cannot look at is in the answer, not raised.
    """
    asked = decode_task(task)
    if asked.release != __version__:
        trouble = f"this worker has Muniment {__version__}, {asked.release} is asked for"
        return encode(Answer(asked.number, trouble=trouble))
    try:
        return encode(_checked(asked))
    except MunimentError as error:
        return encode(Answer(asked.number, trouble=error.detail))
    except OSError as error:
        return encode(Answer(asked.number, trouble=f"{asked.path}: {error.strerror or error}"))


def _checked(asked: Task) -> Answer:
    verifier, path = Verifier.parse(asked.verifier), Path(asked.path)
    if asked.store is None:
        with path.open("rb"):
            pass  # what is not here is no finding
        return answer_of(asked.number, check_segment(PosixDisk(), path, verifier, asked.sizes))
    from muniment.store.disk import StoreDisk
    from muniment.store.inventory import Held, Inventory
    from muniment.store.port import Object

    held = Held(asked.path, (Object(asked.path, asked.store.size, asked.store.version),))
    disk = StoreDisk(_store(encode_place(asked.store)), Inventory({asked.path: held}))
    try:
        check = check_segment(disk, path, verifier, asked.sizes)
        return answer_of(asked.number, check, disk.digest(path))
    finally:
        disk.close()


def encode_place(place: StorePlace) -> tuple[tuple[str, str | bool | float], ...]:
    """Returns a connection in a form that can be compared and kept."""
    return tuple(sorted(place.connection.items()))


@lru_cache(4)
def _store(connection: tuple[tuple[str, str | bool | float], ...]) -> Store:
    """A store, kept for the next segment; who may read it is in the worker's own environment."""
    from muniment.settings.store import Connection
    from muniment.store.opening import open_store

    return open_store(Connection.model_validate(dict(connection)), "store")
