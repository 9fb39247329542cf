"""The data directory: one process at a time, and no key that could sign a second history."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from muniment import kernel
from muniment.data_directory import DataDirectory
from muniment.errors import Corrupt, SettingsError
from muniment.log import Batch, Shard, note
from muniment.log.disk import PosixDisk
from muniment.node import Node
from muniment.settings import Settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


Claim = Callable[[], DataDirectory]


@pytest.fixture
def claim(data: Path) -> Iterator[Claim]:
    """Claims the directory, after whoever had it."""
    numbers = count(1)
    held: list[DataDirectory] = []

    def one() -> DataDirectory:
        for earlier in held:
            earlier.release()
        found = DataDirectory(data, PosixDisk(), lambda size: next(numbers).to_bytes(size, "big"))
        found.claim()
        held.append(found)
        return found

    yield one
    for found in held:
        found.release()


def test_a_new_directory_is_for_its_owner_alone(data: Path, claim: Claim) -> None:
    claim().shards("default", "logs.example")
    assert {path.name for path in data.iterdir()} == {"access", "index", "keys", "logs"}
    for path in (data, data / "keys", data / "access", data / "logs"):
        assert path.stat().st_mode & 0o777 == 0o700
    key = data / "keys" / "default.00000001.key"
    assert [path.name for path in (data / "keys").iterdir()] == [key.name]
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_shard_is_made_once_and_found_again(data: Path, claim: Claim) -> None:
    made = claim().shards("default", "logs.example")
    assert list(made) == ["00000001"]
    directory, signer = made["00000001"]
    assert directory == data / "logs" / "default" / "00000001"
    assert signer.verifier.name == "logs.example/default/00000001"
    assert (directory / "verifier").read_text() == f"{signer.verifier}\n"

    again = claim().shards("default", "another.example")
    assert [(path, str(key.verifier)) for path, key in again.values()] == [
        (directory, str(signer.verifier))
    ]


def test_logs_whose_names_begin_alike_keep_their_own_keys(claim: Claim) -> None:
    directory = claim()
    made = {log: list(directory.shards(log, "o")) for log in ("a", "a.b", "a.b.c")}
    again = claim()
    assert {log: list(again.shards(log, "o")) for log in made} == made


def test_only_one_process_may_have_it(
    data: Path, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.data_directory.LOCK_PAUSE", 0)
    claim()
    other = DataDirectory(data, PosixDisk(), os.urandom)
    with pytest.raises(SettingsError, match="in use"):
        other.claim()
    with pytest.raises(SettingsError, match="in use"):
        Node.open(Settings(data=data))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="file"):
        DataDirectory(tmp_path / "file" / "data", PosixDisk(), os.urandom).claim()


def test_a_shard_without_its_key_is_not_continued(data: Path, claim: Claim) -> None:
    claim().shards("default", "o")
    key = data / "keys" / "default.00000001.key"
    key.unlink()
    with pytest.raises(SettingsError, match=key.name):
        claim().shards("default", "o")


def test_a_key_without_its_shard_makes_no_new_shard(data: Path, claim: Claim) -> None:
    """A shard that was lost, or hidden, is not begun again under its key."""
    claim().shards("default", "o")
    shard = data / "logs" / "default" / "00000001"
    shard.rename(data / "logs" / ".aside")
    with pytest.raises(SettingsError, match="default/00000001"):
        claim().shards("default", "o")
    (data / "logs" / ".aside").rename(shard)
    assert list(claim().shards("default", "o")) == ["00000001"]


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"\xff", b"PRIVATE+KEY+a+00000000+AAAA\n"])
def test_a_damaged_key_is_named(data: Path, claim: Claim, damage: bytes) -> None:
    claim().shards("default", "o")
    key = data / "keys" / "default.00000001.key"
    key.write_bytes(damage)
    with pytest.raises(Corrupt, match=key.name):
        claim().shards("default", "o")


def test_the_key_of_another_shard_is_refused(data: Path) -> None:
    settings = Settings(data=data)
    node = Node.open(settings)
    _close(node)
    key = next((data / "keys").iterdir())
    other = note.Signer.generate("muniment.local/default/other", os.urandom)
    key.write_text(f"{other.export()}\n")
    with pytest.raises(SettingsError, match="names the key"):
        Node.open(settings)


class Power(Exception):
    """The machine went out."""


class DyingDisk(PosixDisk):
    """Goes out before the n-th operation that changes something."""

    def __init__(self, left: int) -> None:
        self._left = left

    def _live(self) -> None:
        if self._left == 0:
            raise Power
        self._left -= 1

    def create(self, path, mode=0o644):  # type: ignore[no-untyped-def]
        self._live()
        return super().create(path, mode)

    def make_directory(self, path: Path) -> None:
        self._live()
        super().make_directory(path)

    def rename(self, old: Path, new: Path) -> None:
        self._live()
        super().rename(old, new)

    def sync_directory(self, path: Path) -> None:
        self._live()
        super().sync_directory(path)


def test_a_first_start_that_is_interrupted_anywhere_is_ended_by_the_next(tmp_path: Path) -> None:
    for operations in count():
        data = tmp_path / str(operations)
        directory = DataDirectory(data, DyingDisk(operations), os.urandom)
        try:
            directory.claim()
            directory.shards("default", "o")
            survived = True
        except Power:
            survived = False
        directory.release()

        after = DataDirectory(data, PosixDisk(), os.urandom)
        after.claim()
        ((name, (path, signer)),) = after.shards("default", "o").items()
        after.release()
        assert [p.name for p in (data / "keys").iterdir()] == [f"default.{name}.key"]
        assert [p.name for p in (data / "logs" / "default").iterdir()] == [name]
        Shard.open(path, signer, log="default").close()
        if survived:
            assert operations > 5
            return


def _close(node: Node) -> None:
    for shards in node._shards.values():
        for shard in shards.values():
            shard.close()
    node._directory.release()


def test_a_node_opens_its_logs_and_shows_its_token_once(data: Path) -> None:
    settings = Settings(data=data, logs=("default", "edge"))
    node = Node.open(settings)
    assert node.first_token is not None
    assert list(node._shards) == ["default", "edge"]
    shard = next(iter(node._shards["edge"].values()))
    shard.submit(Batch(kernel.pack_lines(b"a\nb", b"{}\n"))).result(60)
    _close(node)
    assert node.first_token.split("_", 2)[2] not in (data / "access" / "tokens.json").read_text()

    again = Node.open(settings)
    assert again.first_token is None
    assert next(iter(again._shards["edge"].values())).size == 2
    _close(again)


def test_a_node_that_cannot_open_lets_the_directory_go(data: Path) -> None:
    settings = Settings(data=data)
    _close(Node.open(settings))
    tokens = data / "access" / "tokens.json"
    sound = tokens.read_bytes()
    tokens.write_bytes(sound.replace(b"admin", b"admim"))
    with pytest.raises(Corrupt, match=r"tokens\.json"):
        Node.open(settings)
    tokens.write_bytes(sound)
    _close(Node.open(settings))


def adopted(directory: DataDirectory, signer: note.Signer) -> None:
    with directory.adopting("default", "taken", signer) as draft:
        Shard.create(draft, signer)


def test_a_shard_that_is_taken_in_is_written_from_then_on(data: Path, claim: Claim) -> None:
    directory = claim()
    signer = note.Signer("o/default/taken", bytes(32))
    (data / "logs" / "default").mkdir()
    adopted(directory, signer)
    assert str(directory.shards("default", "o")["taken"][1].verifier) == str(signer.verifier)
    assert sorted(path.name for path in (data / "keys").iterdir()) == ["default.taken.key"]
    with pytest.raises(SettingsError, match="here already"):
        adopted(directory, signer)


def test_nothing_is_left_of_a_shard_that_could_not_be_taken_in(data: Path, claim: Claim) -> None:
    directory = claim()
    (data / "logs" / "default").mkdir()
    with (
        pytest.raises(Power),
        directory.adopting("default", "taken", note.Signer("o/d/taken", bytes(32))) as draft,
    ):
        draft.mkdir()
        raise Power
    assert not list((data / "keys").iterdir()) and not list((data / "logs/default").iterdir())


def test_a_shard_that_another_node_has_is_only_read(data: Path, claim: Claim) -> None:
    (name,) = claim().shards("default", "o")
    directory = claim()
    directory.set_aside("default", name, "node-b writes it")
    assert list(directory.read_only("default")) == [name]
    (new,) = directory.shards("default", "o")
    assert new != name and list(claim().shards("default", "o")) == [new]
    names = sorted(path.name for path in (data / "keys").iterdir())
    assert names == sorted([f"default.{name}.fenced", f"default.{new}.key"])


def test_a_damaged_mark_is_named(data: Path, claim: Claim) -> None:
    (name,) = claim().shards("default", "o")
    directory = claim()
    directory.set_aside("default", name, "")
    (data / "read-only" / f"default.{name}.json").write_text("{")
    with pytest.raises(Corrupt, match="read-only"):
        directory.read_only("default")
