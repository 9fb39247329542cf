"""The token file of a fleet: read by nodes, changed by commands, never half of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.access import ManagedElsewhere, Scope, SharedTokens
from muniment.access.shared import Change
from muniment.access.token_file import changing
from muniment.access.tokens import Tokens, parse
from muniment.errors import Corrupt, InputError, SettingsError, Unauthenticated, Unavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def make(path: Path, name: str = "shipper") -> str:
    with changing(path) as tokens:
        return tokens.create(name, [Scope.WRITE])


def revoke(path: Path, token: str) -> None:
    with changing(path) as tokens:
        assert tokens.revoke(token.split("_")[1])


def knows(tokens: Tokens, token: str) -> bool:
    with contextlib.suppress(Unauthenticated):
        return bool(tokens.authenticate(token))
    return False


def test_a_node_follows_the_file(path: Path) -> None:
    first = make(path)
    tokens = SharedTokens.open(path)
    second = make(path, "other")
    assert knows(tokens, first) and not knows(tokens, second)
    assert tokens.look()
    assert knows(tokens, second)
    revoke(path, first)
    assert tokens.look() and not tokens.look()
    assert not knows(tokens, first) and knows(tokens, second)
    assert len(tokens) == 1 and not tokens.trouble


def test_same_size_same_time_same_inode_is_still_seen(path: Path) -> None:
    """What counts is the content: an editor may leave all else as it was."""
    make(path)
    tokens = SharedTokens.open(path)
    other = path.with_name("other.json")
    token, before = make(other, "another"), path.stat()
    assert len(other.read_bytes()) == before.st_size
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert tokens.look() and knows(tokens, token)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "is not there"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"write", b"admin")), "damaged"),
        (lambda path: path.write_bytes(b"[" * (2 << 20)), "is larger than"),
        (lambda path: path.chmod(0o666), "can be written by others"),
        (lambda path: path.chmod(0o660), "can be written by others"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_a_spoilt_file_changes_nothing_and_is_told(
    path: Path, spoil: Callable[[Path], object], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = make(path)
    good = path.read_bytes()
    tokens = SharedTokens.open(path)
    spoil(path)
    assert not tokens.look() and not tokens.look()
    assert says in tokens.trouble and knows(tokens, token)
    assert sum("stay" in one.message for one in caplog.records) == 1
    with pytest.raises(SettingsError, match="tokens"):
        SharedTokens.open(path)

    if path.is_dir():
        path.rmdir()
    path.write_bytes(good)
    path.chmod(0o644)
    tokens.look()
    assert not tokens.trouble and knows(tokens, token)
    assert token.split("_", 2)[2] not in caplog.text


def test_links_are_swapped_as_kubernetes_does(tmp_path: Path) -> None:
    first, second = tmp_path / "..1", tmp_path / "..2"
    shown = {}
    for folder in (first, second):
        folder.mkdir()
        shown[folder] = make(folder / "tokens.json", folder.name.strip("."))
        (folder / "tokens.json").chmod(0o440)
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "tokens.json"
    path.symlink_to("..data/tokens.json")
    tokens = SharedTokens.open(path)
    assert knows(tokens, shown[first])
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert tokens.look()
    assert knows(tokens, shown[second]) and not knows(tokens, shown[first])


def test_the_node_itself_changes_nothing(path: Path) -> None:
    token = make(path)
    tokens, before = SharedTokens.open(path), path.read_bytes()
    for change in (
        tokens.check_changeable,
        lambda: tokens.create("x", [Scope.READ]),
        lambda: tokens.revoke(token.split("_")[1]),
    ):
        with pytest.raises(ManagedElsewhere):
            change()
    assert path.read_bytes() == before


def test_following_ends_when_the_node_stops(path: Path) -> None:
    make(path)
    tokens = SharedTokens.open(path)

    async def follow() -> str:
        stopping = asyncio.Event()
        following = asyncio.create_task(tokens.follow(stopping, every=0.01))
        token = await asyncio.to_thread(make, path, "other")
        while not knows(tokens, token):
            await asyncio.sleep(0.01)
        stopping.set()
        await following
        return token

    assert asyncio.run(asyncio.wait_for(follow(), 60))


def test_a_change_is_told_until_it_is_on_record(path: Path) -> None:
    first = make(path)
    tokens, told = SharedTokens.open(path), []

    async def follow() -> None:
        stopping, tries = asyncio.Event(), 0

        async def tell(change: Change) -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise Unavailable("the disk is full")
            told.append(str(change))
            if len(told) == 2:
                stopping.set()

        following = asyncio.create_task(tokens.follow(stopping, tell, every=0.01))
        await asyncio.to_thread(make, path, "other")
        while len(tokens) < 2:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(revoke, path, first)
        await following

    asyncio.run(asyncio.wait_for(follow(), 60))
    id_ = next(iter(tokens.records)).id
    assert told == [
        f"new: other ({id_}); gone: none; changed: none",
        f"new: none; gone: shipper ({first.split('_')[1]}); changed: none",
    ]


def test_each_change_is_whole_and_for_its_owner_alone(path: Path) -> None:
    make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    make(path, "other")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["tokens.json"]


def test_a_link_stays_a_link(path: Path) -> None:
    real = path.with_name("real.json")
    make(real)
    path.symlink_to(real)
    make(path, "other")
    assert path.is_symlink() and len(Tokens.open(real)) == 2


def test_two_writers_at_a_time_lose_nothing(path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom muniment.access import Scope\n"
        "from muniment.access.token_file import changing\n"
        "for n in range(15):\n"
        "    with changing(Path(sys.argv[1]), patience=60) as tokens:\n"
        "        tokens.create(f'{sys.argv[2]}-{n}', [Scope.WRITE])\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("a", "b", "c")
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    names = {record.name for record in Tokens.open(path).records}
    assert names == {f"{who}-{n}" for who in "abc" for n in range(15)}


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(path: Path) -> None:
    with changing(path), pytest.raises(Unavailable), changing(path, patience=0.1):
        pass


def test_a_damaged_file_is_not_overwritten(path: Path) -> None:
    make(path)
    path.write_bytes(path.read_bytes()[:-10])
    before = path.read_bytes()
    with pytest.raises(Corrupt):
        make(path, "other")
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="no folder"):
        make(path.parent / "nowhere" / "tokens.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", 1), ("id", "../../x"), ("sha256", 5), ("sha256", "0"), ("name", ["a"]), ("name", "")],
)
def test_a_record_that_nobody_made_is_damage_also_where_the_checksum_fits(
    path: Path, field: str, value: object
) -> None:
    make(path)
    items = json.loads(path.read_bytes())[:-1]
    items[1][field] = value
    body = "[\n" + ",\n".join(map(json.dumps, items))
    checksum = sha256(body.encode()).hexdigest()
    path.write_text(f'{body},\n{{"checksum": "{checksum}"}}\n]\n')
    with pytest.raises(Corrupt):
        parse(path, path.read_bytes())


@pytest.mark.fuzz
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_tokens_or_corrupt(data: bytes) -> None:
    with contextlib.suppress(Corrupt):
        parse(Path("tokens.json"), data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
class TestRootChangesAFileOfSomebody:
    OWNER = (12_345, 12_345)

    def test_it_stays_his(self, path: Path) -> None:
        make(path)
        os.chown(path, *self.OWNER)
        make(path, "another")
        assert (path.stat().st_uid, path.stat().st_gid) == self.OWNER

    @pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
    def test_nothing_else_becomes_his(
        self, path: Path, link: Callable[[Path, Path], None], tmp_path: Path
    ) -> None:
        victim = tmp_path / "shadow"
        victim.write_text("root's own")
        make(path)
        os.chown(path, *self.OWNER)
        with changing(path) as tokens:
            tokens.create("another", [Scope.WRITE])
            path.unlink()
            link(path, victim)
        assert (victim.stat().st_uid, victim.stat().st_gid) == (0, 0)
