"""What entries say of a store's other objects: attachments by their hash, retentions."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from archived_shard import AT_ONCE, LOG, NAME
from simulator import SimulatedStore
from small_shard import DIRECTORY, GROUPS, SIGNER, live

from muniment import kernel
from muniment.log import Batch
from muniment.log.history import segment_names
from muniment.log.segment import segment_first
from muniment.store.attachments.entry import Said, record_of
from muniment.store.attachments.files import Kept
from muniment.store.names import attachment_key, policy_key, segment_key, tree_key, verifier_key
from muniment.store.retention.policy import Policy
from muniment.store.tree import make_companion
from muniment.trust.stores import StoreQuestion, verify_store

BODY = b"a whole file"
KEPT = Kept(sha256(BODY).digest(), len(BODY), new=True)
KEY = attachment_key(LOG, KEPT.sha256)
RECORD = json.dumps(record_of(KEPT, Said("file.txt", "text/plain"), "me")).encode()
OWN = b'{"at":"2026-11-21T10:00:00.000000Z","via":"muniment","as":"muniment"}\n'
EXTENDED = (
    b'{"action":"retention.extended","policy":1,"minimum_seconds":3600,"maximum_seconds":null}'
)
OTHERS = b'{"at":"2026-11-21T10:00:00.000000Z","via":"http","as":"muniment"}\n'
FORGED = EXTENDED.replace(b"3600", b"7200")
WRITTEN = live(
    [
        [Batch(kernel.pack_records([RECORD, EXTENDED], OWN))],
        [Batch(kernel.pack_records([FORGED, b"retention.extended"], OTHERS))],
        *GROUPS,
    ]
)


@pytest.fixture
def store() -> SimulatedStore:
    """A log whose first entry names an attachment, and the attachment."""
    found, disk = SimulatedStore("primary"), WRITTEN.disk
    found.put(verifier_key(LOG, NAME), disk.read(DIRECTORY / "verifier"))
    for name in segment_names(disk, DIRECTORY)[:-1]:
        first = segment_first(name) or 0
        found.put(segment_key(LOG, NAME, first), disk.read(DIRECTORY / name))
        companion = make_companion(disk, DIRECTORY / name, SIGNER.verifier)
        found.put(tree_key(LOG, NAME, first), companion.encode())
    found.put(KEY, BODY)
    return found


def found_in(store: SimulatedStore) -> list[str]:
    return [str(f) for f in verify_store(store, StoreQuestion(insist=AT_ONCE)).findings]


def test_an_attachment_that_is_there_and_whole_is_well(store: SimulatedStore) -> None:
    assert found_in(store) == []


def test_one_that_an_entry_names_and_that_is_gone_is_found(store: SimulatedStore) -> None:
    store.remove(KEY)
    assert found_in(store) == [f"{KEY}: is missing: {NAME}/0 names it"]


def test_one_of_another_length_is_found_twice(store: SimulatedStore) -> None:
    store.backing.poke(KEY, BODY + b"!")
    problems = "\n".join(found_in(store))
    assert "not that of its name" in problems and "13 bytes" in problems


def test_a_policy_that_is_none_is_found(store: SimulatedStore) -> None:
    store.put(policy_key(LOG, 1), b"{}")
    (finding,) = found_in(store)
    assert policy_key(LOG, 1) in finding and "a retention policy" in finding


@pytest.mark.parametrize(("minimum", "maximum"), [(3600, None), (7200, None), (3600, 7200)])
def test_a_retention_must_be_the_one_that_the_log_states(
    store: SimulatedStore, minimum: int, maximum: int | None
) -> None:
    policy = Policy(LOG, 1, minimum, maximum, "2026-11-21T10:00:00.000000Z")
    store.put(policy_key(LOG, 1), policy.encode())
    told = [f"{policy_key(LOG, 1)}: says {policy}; {NAME}/1 says otherwise"]
    assert found_in(store) == ([] if (minimum, maximum) == (3600, None) else told)


def test_a_retention_that_is_not_in_the_store_is_noted(store: SimulatedStore) -> None:
    report = verify_store(store, StoreQuestion(insist=AT_ONCE))
    assert report.intact
    assert any(policy_key(LOG, 1) in note and f"{NAME}/1" in note for note in report.notes)


def test_a_retention_that_the_log_states_under_no_number_may_be_new(store: SimulatedStore) -> None:
    policy = Policy(LOG, 2, 9_000, None, "2026-11-21T10:00:00.000000Z")
    store.put(policy_key(LOG, 2), policy.encode())
    assert found_in(store) == []
