"""Several processes and a local store: kill -9 in the middle of puts, and puts of the same keys."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest

from muniment.settings.store import Connection
from muniment.store.local import LocalStore

PROGRAM = Path(__file__).parent / "local_put.py"
PATIENCE = 60.0
"""Seconds that the killed process may take in all."""


def told_until_killed(folder: Path, seed: int, lines: int, bytes_more: int) -> list[str]:
    """Runs the program, kills it after some lines and a few bytes more; returns whole lines."""
    command = [sys.executable, str(PROGRAM), str(folder), str(seed)]
    # Without a buffer of ours: `communicate` reads past one, and would lose what it holds.
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdout is not None
        try:
            told = b"".join(child.stdout.readline() for _ in range(lines))
            told += child.stdout.read(bytes_more)
        finally:
            child.kill()
        told += child.communicate(timeout=PATIENCE)[0]
    return told.decode().split("\n")[:-1]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_torn_and_nothing_told_is_lost(tmp_path: Path, seed: int) -> None:
    folder, random = tmp_path / "store", Random(seed)
    told = told_until_killed(folder, seed, random.randrange(1, 40), random.randrange(1, 70))
    store = LocalStore(Connection(url=folder.as_uri()), "after")
    found = {one.key for one in store.list()}
    assert set(told) <= found
    assert len(found) <= len(told) + 1
    for key in found:
        assert sha256(store.get(key)).hexdigest() == key.rpartition("-")[2]
    assert list((folder / ".muniment" / "drafts").iterdir()) == []


def puts_of(folder: Path, writer: int) -> list[int]:
    """Tries to be the first under 30 keys; returns those under which it was.

    Each store is a new one, that sweeps the drafts of the dead while the others put theirs.
    """
    body = b"%d" % writer * 1_000
    won = []
    for key in range(30):
        store = LocalStore(Connection(url=folder.as_uri()), "race")
        if store.put_if_absent(f"race/{key}", body) is not None:
            won.append(key)
    return won


def test_of_several_processes_one_puts_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with get_context("fork").Pool(4) as pool:
        won = pool.map_async(partial(puts_of, folder), range(4)).get(PATIENCE)
    assert sorted(key for keys in won for key in keys) == list(range(30))
    store = LocalStore(Connection(url=folder.as_uri()), "after")
    for writer, keys in enumerate(won):
        for key in keys:
            assert store.get(f"race/{key}") == b"%d" % writer * 1_000
