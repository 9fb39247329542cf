"""The private key in the store, the takeover secret, and who this node is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator import SimulatedStore

from muniment.errors import Conflict, Corrupt, NoSuchObject, SettingsError
from muniment.log.disk import PosixDisk
from muniment.store.wal.identity import node_instance
from muniment.store.wal.keys import get_shard_key, put_shard_key, read_takeover_secret

SECRET, KEY = b"s" * 32, "PRIVATE+KEY+test.example/default/aa"
NAME = "keys/default/aa"


def put(store: SimulatedStore, secret: bytes = SECRET, key: str = KEY) -> None:
    put_shard_key(store, secret, "test.example", "default", "aa", key, os.urandom)


def get(store: SimulatedStore, secret: bytes = SECRET, shard: str = "aa") -> str:
    return get_shard_key(store, secret, "test.example", "default", shard)


def test_there_and_back() -> None:
    store = SimulatedStore()
    put(store)
    assert get(store) == KEY
    assert KEY.encode() not in store.get(NAME)
    before = store.get(NAME)
    put(store)
    assert store.get(NAME) == before


def test_none_was_put() -> None:
    with pytest.raises(NoSuchObject):
        get(SimulatedStore())


def test_a_wrong_secret_is_said_without_the_secret() -> None:
    store = SimulatedStore()
    put(store)
    with pytest.raises(SettingsError, match="another secret") as caught:
        get(store, b"t" * 32)
    assert "tttt" not in str(caught.value)
    with pytest.raises(SettingsError):
        put(store, b"t" * 32)


def test_another_key_is_not_replaced() -> None:
    store = SimulatedStore()
    put(store)
    with pytest.raises(Conflict):
        put(store, key="ANOTHER")
    assert get(store) == KEY


def test_the_key_of_another_shard_is_refused() -> None:
    store = SimulatedStore()
    put(store)
    store.put("keys/default/bb", store.get(NAME))
    with pytest.raises(SettingsError):
        get(store, shard="bb")


@pytest.mark.fuzz
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(data: bytes, begin: bool) -> None:
    store = SimulatedStore()
    store.put(NAME, (b"MUNIKEY1" if begin else b"") + data)
    with pytest.raises((Corrupt, SettingsError)):
        get(store)


def secret_file(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert read_takeover_secret(secret_file(path, b"x" * 40 + b"\n", 0o640)) == b"x" * 40
    for data, mode, words in [
        (b"x" * 40, 0o644, "everybody"),
        (b"x" * 31 + b"\n", 0o600, "31 bytes"),
        (b"", 0o600, "0 bytes"),
        (b"x" * 5000, 0o600, "bytes"),
    ]:
        with pytest.raises(SettingsError, match=words):
            read_takeover_secret(secret_file(path, data, mode))
    with pytest.raises(SettingsError, match="No such file"):
        read_takeover_secret(tmp_path / "none")


def test_the_instance_stays(tmp_path: Path) -> None:
    disk = PosixDisk()
    first = node_instance(tmp_path, disk, os.urandom)
    assert len(first) == 16 and node_instance(tmp_path, disk, os.urandom) == first
    assert (tmp_path / "instance").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [b"", b"zz", b"00", "é".encode()])
def test_an_instance_that_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "instance").write_bytes(text)
    with pytest.raises(Corrupt):
        node_instance(tmp_path, PosixDisk(), os.urandom)


def test_an_instance_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        node_instance(tmp_path / "none", PosixDisk(), os.urandom)
