"""Attachments against the entries that name them: what is missing, other, or named by none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from attachment_parts import DIGEST, copies, keep
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from simulator import SimulatedStore

from muniment import kernel
from muniment.errors import InputError
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.note import Signer
from muniment.store.attachments import Claim, Copies, Files, Kept, Said, claim_of, record_of
from muniment.store.attachments.check import (
    LocalSource,
    StoreSource,
    check_attachments,
    claims_of,
)


@pytest.fixture
def store() -> SimulatedStore:
    return SimulatedStore("primary", versioned=True, lockable=True, clock=FakeClock())


@dataclass
class Evidence:
    """A shard with entries that name attachments, and their bodies."""

    directory: Path
    size: int
    files: Files
    copies: Copies
    store: SimulatedStore

    def check(self, *where: str) -> tuple[int, list[str], list[str]]:
        sources = {
            "local": LocalSource(self.files, "default"),
            "store": StoreSource(self.copies, "default", self.store.url),
        }
        claims = claims_of(self.directory, self.size)
        found = check_attachments("default", claims, [sources[name] for name in where])
        return found.count, [str(one) for one in found.findings], found.notes


@pytest.fixture
def evidence(tmp_path: Path, store: SimulatedStore) -> Evidence:
    files = Files(tmp_path / "attachments", PosixDisk(), max_bytes=1 << 20)
    signer = Signer("muniment.test/default/ab", bytes(range(32)))
    directory = tmp_path / "ab"
    Shard.create(directory, signer)
    shard = Shard.open(directory, signer, log="default")
    header = b'{"at":"2026-01-02T03:04:05.000000Z","node":"n","via":"%b","as":"muniment"}\n'
    for number in range(3):
        kept = keep(files, b"%d" % number * 1000)
        copies(store).keep("default", kept, files.path("default", kept.sha256))
        record = orjson.dumps(record_of(kept, Said(f"file-{number}"), "alice"))
        for via in (b"muniment", b"http"):
            packed = kernel.pack_records([record, b"other"], header % via)
            shard.submit(Batch(packed)).result(60)
    size = shard.size
    shard.close()
    return Evidence(directory, size, files, copies(store), store)


def test_every_claim_is_checked_in_every_place(evidence: Evidence) -> None:
    assert evidence.check("local", "store") == (3, [], [])
    claims = list(claims_of(evidence.directory, evidence.size))
    assert [claim.place for claim in claims] == ["ab/0", "ab/4", "ab/8"], "http claims nothing"


def test_each_bit_that_differs_is_found(evidence: Evidence) -> None:
    digest = next(iter(evidence.files.names("default")))
    path = evidence.files.path("default", digest)
    body = path.read_bytes()
    path.chmod(0o644)
    for place in (0, 3_999, 7_999):
        other = bytearray(body)
        other[place // 8] ^= 1 << place % 8
        path.write_bytes(other)
        count_, findings, _ = evidence.check("local")
        assert count_ == 2 and len(findings) == 1 and str(path) in findings[0]
        assert len(evidence.check("local", "store")[1]) == 1
    path.write_bytes(body[:-1])
    assert "has 999 bytes" in evidence.check("local")[1][0]
    path.unlink()
    assert "not there" in evidence.check("local")[1][0]
    assert evidence.check("local", "store") == (3, [], []), "evicted: the store has it"


def test_rot_in_the_store_is_found(evidence: Evidence) -> None:
    key = next(iter(evidence.store.backing.keys))
    evidence.store.backing.poke(key, b"?" * 1000)
    assert key in evidence.check("store")[1][0]
    evidence.store.backing.poke(key, None)
    assert "not there" in evidence.check("store")[1][0]


def test_what_no_entry_names_is_a_note(evidence: Evidence) -> None:
    keep(evidence.files, b"left by a crash")
    count_, findings, notes = evidence.check("local")
    assert (count_, findings) == (3, []) and "1 attachment in" in notes[0]


HEADER = {"via": "muniment", "as": "muniment"}


def test_only_our_own_entries_claim() -> None:
    kept = Kept(DIGEST, 900, True)
    raw = orjson.dumps(record_of(kept, Said("x"), "alice"))
    assert claim_of(HEADER, raw, "ab/7") == Claim(DIGEST, 900, "ab/7")
    assert claim_of({"via": "http", "as": "muniment"}, raw) is None
    assert claim_of({"via": "muniment", "as": "json"}, raw) is None


@pytest.mark.fuzz
@given(
    st.binary(max_size=200)
    | st.fixed_dictionaries(
        {},
        optional={
            "action": st.just("attachment.keep") | st.text(max_size=5) | st.none(),
            "sha256": st.text("0123456789abcdefG", max_size=66) | st.integers() | st.none(),
            "size": st.integers()
            | st.floats(allow_nan=False)
            | st.booleans()
            | st.text(max_size=3),
        },
    ).map(lambda value: orjson.dumps(value, default=str) if _fits(value) else b"{}")
)
def test_claims_of_any_bytes(raw: bytes) -> None:
    found = claim_of(HEADER, raw)
    if found is not None:
        assert len(found.sha256) == 32 and found.size >= 0
    assert claim_of(HEADER, b"attachment.keep" + raw) is None or raw


def _fits(value: dict[str, Any]) -> bool:
    return all(not isinstance(v, int) or -(1 << 63) <= v < 1 << 63 for v in value.values())


@given(st.text(max_size=300), st.none() | st.text(max_size=150))
def test_what_is_said_is_checked(name: str, media: str | None) -> None:
    try:
        said = Said.of(name, media)
    except InputError:
        return
    assert said.name == name and len(name.encode("utf-8", "replace")) <= 255 and name.isprintable()
    assert "/" in said.media_type and said.media_type.isascii() and "\n" not in said.media_type
