"""A data directory made anew from a store, and what is said to be missing."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from archived_shard import ARCHIVED, AT_ONCE, FILES, FIRSTS, LOG, NAME, SIZE, WRITTEN, archived
from fake_clock import FakeClock
from simulator import Call, Fault, SimulatedStore
from small_shard import DIRECTORY, OTHER, SIGNER

from muniment.data_directory import DataDirectory
from muniment.errors import Conflict, NotFound, SettingsError, SignatureInvalid, StoreFailing
from muniment.log.disk import PosixDisk
from muniment.store.attachments.entry import Claim
from muniment.store.marks import Why, read_mark
from muniment.store.names import attachment_key, segment_key, tree_key
from muniment.store.restore import Restore, Restored, Target
from muniment.store.witnesses import Witnesses
from muniment.trust.directory import verify_directory

BODY = b"an attachment"
DIGEST = sha256(BODY).digest()


def restored(store: SimulatedStore, data: Path, log: str = "") -> Restored:
    """Restores as the command does; gives back the report."""
    work = Restore(store, Target(data, PosixDisk(), FakeClock()), log, AT_ONCE)
    directory = DataDirectory(data, PosixDisk(), os.urandom)
    directory.claim()
    try:
        found = work.run(lambda _done, _total: None)
    finally:
        work.close()
        directory.release()
    return found


def files(data: Path) -> dict[Path, bytes]:
    folder = data / "logs" / LOG / NAME
    return {
        DIRECTORY / path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store() -> SimulatedStore:
    found = archived()
    found.put(attachment_key(LOG, DIGEST), BODY)
    return found


def test_everything_comes_back(store: SimulatedStore, data: Path) -> None:
    found = restored(store, data)
    assert found.whole and found.attachments == 1
    assert files(data) == FILES
    attachment = data / "attachments" / LOG / DIGEST.hex()[:2] / DIGEST.hex()
    assert attachment.read_bytes() == BODY
    assert list(found.statements("the store")) == [
        f"the store holds entries 0 to {SIZE - 1} of a/b"
    ]
    assert verify_directory(data).intact


def test_a_restored_shard_is_read_only_and_a_new_one_is_made(
    store: SimulatedStore, data: Path
) -> None:
    restored(store, data)
    mark = read_mark(PosixDisk(), data, LOG, NAME)
    assert mark is not None and (mark.why, mark.done, mark.size) == (Why.RESTORED, True, SIZE)
    directory = DataDirectory(data, PosixDisk(), os.urandom)
    directory.claim()
    written = directory.shards(LOG, "origin")
    assert list(directory.read_only(LOG)) == [NAME] and NAME not in written and len(written) == 1
    assert directory.shards(LOG, "origin").keys() == written.keys()
    directory.release()
    assert verify_directory(data).intact


def test_a_key_that_is_still_there_does_not_make_it_writable(
    store: SimulatedStore, data: Path
) -> None:
    """The store may lag: going on from there would sign a second history."""
    restored(store, data)
    (data / "keys" / f"{LOG}.{NAME}.key").write_text(SIGNER.export() + "\n")
    directory = DataDirectory(data, PosixDisk(), os.urandom)
    directory.claim()
    assert NAME not in directory.shards(LOG, "origin")
    directory.release()


def test_a_restore_that_did_not_end_is_not_served(store: SimulatedStore, data: Path) -> None:
    store.faults.always(Fault.UNREACHABLE, "get_range", segment_key(LOG, NAME, FIRSTS[1]))
    with pytest.raises(StoreFailing):
        restored(store, data)
    directory = DataDirectory(data, PosixDisk(), os.urandom)
    directory.claim()
    with pytest.raises(SettingsError, match="muniment restore"):
        directory.read_only(LOG)
    directory.release()
    found = [finding.problem for finding in verify_directory(data).findings]
    assert any("did not come to its end" in problem for problem in found)
    store.faults.clear()
    assert restored(store, data).whole and files(data) == FILES


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.CREDENTIALS])
def test_a_restore_interrupted_at_every_call_goes_on(
    store: SimulatedStore, data: Path, fault: Fault
) -> None:
    numbers: list[int] = []
    while True:
        start = len(store.calls)

        def plan(call: Call, at: int = start + len(numbers)) -> Fault | None:
            return fault if call.number >= at else None

        store.faults.plan = plan
        try:
            found = restored(store, data)
            break
        except StoreFailing:
            numbers.append(len(store.calls))
    assert len(numbers) > 5 and found.whole and files(data) == FILES


def test_a_lagging_copy_says_exactly_what_is_missing(data: Path) -> None:
    lagging, ahead = archived(segments=2), archived()
    ahead.name = "other"
    found = restored(lagging, data)
    assert found.whole  # as far as anybody knows
    witnesses = Witnesses(found.shards, AT_ONCE)
    witnesses.hear_store(ahead)
    found.newer = witnesses.newer
    assert not found.whole
    assert list(found.statements("the store")) == [
        f"the store holds entries 0 to {FIRSTS[2] - 1} of a/b; a newer checkpoint (from the store "
        f"other) names {SIZE}: entries {FIRSTS[2]} to {SIZE - 1} are missing"
    ]
    witnesses.hear_notes(WRITTEN.receipts)
    assert found.newer[LOG, NAME].size == SIZE


def test_kept_checkpoints_are_believed_only_with_their_signature(data: Path) -> None:
    found = restored(archived(segments=1), data)
    witnesses = Witnesses(found.shards, AT_ONCE)
    with pytest.raises(SignatureInvalid):
        witnesses.hear_notes([OTHER.sign(f"a/b\n{SIZE}\n{'A' * 43}=\n")])
    witnesses.hear_notes(ARCHIVED)
    assert witnesses.newer[LOG, NAME].source == "--trust"


def test_a_shard_that_only_others_know_is_missing(data: Path) -> None:
    ahead = archived()
    for key, body in list(ahead.backing.contents().items()):
        ahead.put(key.replace("/b/", "/c/"), body)
    found = restored(archived(), data)
    witnesses = Witnesses(found.shards, AT_ONCE)
    witnesses.hear_store(ahead)
    found.newer = witnesses.newer
    assert "holds nothing of a/c" in list(found.statements("the store"))[1] and not found.whole


def test_a_shard_under_the_name_of_another_is_not_taken(data: Path) -> None:
    there, store = archived(), SimulatedStore("primary")
    for key, body in there.backing.contents().items():
        store.put(key.replace(f"logs/{LOG}/{NAME}/", f"logs/{LOG}/c/"), body)
    found = restored(store, data)
    assert not found.whole
    (finding,) = found.findings
    assert "the key of another shard, a/b" in finding.problem
    assert not list(data.rglob("*.seg"))


def test_a_hole_is_named(store: SimulatedStore, data: Path) -> None:
    store.backing.poke(segment_key(LOG, NAME, FIRSTS[1]), None)
    found = restored(store, data)
    assert not found.whole
    assert list(found.statements("the store")) == [
        f"the store holds entries 0 to {SIZE - 1} of a/b, but not {FIRSTS[1]} to "
        f"{FIRSTS[2] - 1}: those are missing"
    ]


def test_a_mended_store_closes_the_hole(store: SimulatedStore, data: Path) -> None:
    key = segment_key(LOG, NAME, FIRSTS[1])
    true = store.backing.contents()[key]
    store.backing.poke(key, true[:-1])
    assert not restored(store, data).whole
    store.backing.poke(key, true)
    assert restored(store, data).whole and files(data) == FILES


def test_a_damaged_attachment_is_not_taken(store: SimulatedStore, data: Path) -> None:
    key = attachment_key(LOG, DIGEST)
    store.backing.poke(key, b"another one")
    found = restored(store, data)
    assert [finding.file for finding in found.findings] == [key] and not found.whole
    store.backing.poke(key, BODY)
    found = restored(store, data)
    assert found.whole and found.attachments == 1
    (data / "attachments" / LOG / DIGEST.hex()[:2] / DIGEST.hex()).unlink()
    assert restored(store, data).attachments == 1


def test_an_attachment_that_an_entry_names_and_the_store_has_not_is_missed(
    store: SimulatedStore, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [Claim(DIGEST, len(BODY), "b/0"), Claim(bytes(32), 5, "b/1")]
    monkeypatch.setattr("muniment.store.restore.claims_of", lambda *_: iter(claims))
    found = restored(store, data)
    assert [str(finding) for finding in found.findings] == [
        f"{attachment_key(LOG, bytes(32))}: is missing: b/1 names it"
    ]
    assert not found.whole


def test_the_directory_of_another_shard_is_not_touched(store: SimulatedStore, data: Path) -> None:
    folder = data / "logs" / LOG / NAME
    folder.mkdir(parents=True)
    (folder / "verifier").write_text(f"{OTHER.verifier}\n")
    before = files(data)
    with pytest.raises(Conflict, match="verifier"):
        restored(store, data)
    assert files(data) == before and read_mark(PosixDisk(), data, LOG, NAME) is None


def test_one_log_of_several(store: SimulatedStore, data: Path) -> None:
    for key, body in list(store.backing.contents().items()):
        store.put(key.replace("logs/a/", "logs/other/"), body)
    restored(store, data, "a")
    assert [path.name for path in (data / "logs").iterdir()] == ["a"]
    with pytest.raises(NotFound, match="the log none"):
        restored(store, data, "none")


def test_a_missing_companion_costs_nothing(store: SimulatedStore, data: Path) -> None:
    store.backing.poke(tree_key(LOG, NAME, FIRSTS[0]), None)
    assert restored(store, data).whole and files(data) == FILES
