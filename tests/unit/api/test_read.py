"""Reading evidence: entries, proofs and tiles, each checked with the log's own checker."""

from __future__ import annotations

import hashlib

import httpx
import pytest
from api_parts import NAME, FailingShard, Serve, token

from muniment import kernel
from muniment.access import Scope
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Note, Verifier
from muniment.log.proof_file import ProofFile

SHARD = f"/api/v1/logs/default/shards/{NAME}"
TLOG = f"/tlog/default/{NAME}"
SIZE = 600


@pytest.fixture
def filled(client: httpx.Client) -> httpx.Client:
    """A log of SIZE entries under a published checkpoint."""
    body = b"".join(b"line %d\n" % number for number in range(SIZE))
    answer = client.post(
        "/api/v1/logs/default/entries", content=body, headers={"content-type": "text/plain"}
    )
    assert answer.is_success
    client.get(f"{SHARD}/entries/{SIZE - 1}/proof").raise_for_status()
    return client


def immutable(answer: httpx.Response) -> bytes:
    """The answer may be kept for ever by whoever sees it."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.content


def missing(answer: httpx.Response) -> None:
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_the_logs_are_listed_with_their_keys(filled: httpx.Client, shard: FailingShard) -> None:
    assert filled.get("/api/v1/logs").json() == {
        "logs": [
            {
                "name": "default",
                "shards": [
                    {
                        "shard": NAME,
                        "origin": f"muniment.test/default/{NAME}",
                        "verifier": shard.verifier,
                        "size": SIZE,
                        "minimum": 0,
                    }
                ],
            }
        ]
    }


def test_an_entry_is_the_bytes_of_its_leaf(filled: httpx.Client, shard: FailingShard) -> None:
    for index in (0, 255, 256, SIZE - 1):
        data = immutable(filled.get(f"{SHARD}/entries/{index}"))
        assert data == shard.reader.entry(index)
        assert data.endswith(b"\nline %d" % index)


@pytest.mark.parametrize("extra", [False, True])
def test_a_proof_convinces_a_stranger(
    filled: httpx.Client, shard: FailingShard, extra: bool
) -> None:
    trusted = [Verifier.parse(shard.verifier)]
    for index in (0, 255, 256, SIZE - 1):
        params = {"extra": "1"} if extra else {}
        answer = filled.get(f"{SHARD}/entries/{index}/proof", params=params)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        proof = ProofFile.parse(answer.text)
        entry = filled.get(f"{SHARD}/entries/{index}").content
        assert proof.index == index
        assert proof.extra == (entry if extra else None)
        assert proof.check(entry, trusted).size == SIZE


def test_the_proof_of_a_new_entry_waits_for_its_checkpoint(client: httpx.Client) -> None:
    for number in range(3):
        client.post(
            "/api/v1/logs/default/entries",
            content=b"x",
            headers={"content-type": "application/octet-stream"},
        )
        answer = client.get(f"{SHARD}/entries/{number}/proof")
        assert ProofFile.parse(answer.text).checkpoint.size == number + 1


def test_a_proof_that_no_checkpoint_covers_in_time_is_put_off(
    filled: httpx.Client, shard: FailingShard
) -> None:
    shard.published_size = 10  # the disk refuses checkpoints, say
    answer = filled.get(f"{SHARD}/entries/10/proof")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "path",
    [
        f"{SHARD}/entries/{SIZE}",
        f"{SHARD}/entries/{SIZE}/proof",
        f"{SHARD}/entries/{2**63 - 1}",
        "/api/v1/logs/default/shards/00000000/entries/0",
        f"/api/v1/logs/other/shards/{NAME}/entries/0",
        f"/tlog/other/{NAME}/checkpoint",
        "/tlog/default/00000000/checkpoint",
    ],
)
def test_what_is_not_there(filled: httpx.Client, path: str) -> None:
    missing(filled.get(path))


@pytest.mark.parametrize("index", ["-1", "x", "1.5", str(2**63), "9" * 30, "0x1", "1e3"])
def test_what_is_no_index(filled: httpx.Client, index: str) -> None:
    answer = filled.get(f"{SHARD}/entries/{index}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_empty_log_has_no_checkpoint(client: httpx.Client) -> None:
    missing(client.get(f"{TLOG}/checkpoint"))


def test_the_checkpoint_is_signed_and_soon_stale(filled: httpx.Client, shard: FailingShard) -> None:
    answer = filled.get(f"{TLOG}/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=1"
    assert Note.parse(answer.text).check([Verifier.parse(shard.verifier)])
    assert Checkpoint.of_note(answer.text).size == SIZE


def test_tiles_lead_from_the_entries_to_the_root(filled: httpx.Client) -> None:
    entries: list[bytes] = []
    hashes = b""
    for tile, width in (("000", 256), ("001", 256), ("002.p/88", 88)):
        bundle = kernel.unpack(immutable(filled.get(f"{TLOG}/tile/entries/{tile}")))
        level0 = immutable(filled.get(f"{TLOG}/tile/0/{tile}"))
        assert len(bundle) == width
        assert level0 == b"".join(hashlib.sha256(b"\0" + entry).digest() for entry in bundle)
        entries += bundle
        hashes += level0
    assert entries[300].endswith(b"\nline 300")
    frontier, completed = kernel.extend(b"", 0, hashes)
    assert immutable(filled.get(f"{TLOG}/tile/1/000.p/2")) == completed[0]
    checkpoint = Checkpoint.of_note(filled.get(f"{TLOG}/checkpoint").text)
    assert kernel.root(frontier) == checkpoint.root


@pytest.mark.parametrize(
    "tile",
    [
        "0/002", "0/002.p/89", "0/003", "0/003.p/1", "1/000", "1/000.p/3", "2/000.p/1", "63/000",
        "64/000", "00/000", "-1/000", "0/0", "0/00", "0/0000", "0/x000/000", "0/x000", "0/000.p/0",
        "0/000.p/256", "0/000.p/01", "0/000.p/", "0/000/", "0/", "0", "x/000", "0/%30%30%30",
        "0/x999/x999/x999/x999/x999/999", "0/000.p/+1", "entries/002", "entries/002.p/89",
        "entries/0", "entries/", "entries", "9" * 5_000 + "/000",
    ],
)  # fmt: skip
def test_only_the_canonical_paths_of_whole_tiles_are_served(
    filled: httpx.Client, tile: str
) -> None:
    missing(filled.get(f"{TLOG}/tile/{tile}"))


def test_a_narrower_partial_tile_stays_there(filled: httpx.Client) -> None:
    narrow = immutable(filled.get(f"{TLOG}/tile/0/002.p/7"))
    assert immutable(filled.get(f"{TLOG}/tile/0/002.p/88")).startswith(narrow)


def test_where_tokens_are_required_shared_caches_keep_nothing(serve: Serve) -> None:
    served = serve(required=True)
    both = token(served.context, Scope.WRITE, Scope.READ)
    with httpx.Client(timeout=60, base_url=served.url, headers=both, trust_env=False) as client:
        client.post(
            "/api/v1/logs/default/entries", content=b"x", headers={"content-type": "text/plain"}
        ).raise_for_status()
        answer = client.get(f"{SHARD}/entries/0")
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_reading_needs_the_right(serve: Serve) -> None:
    served = serve(required=True)
    writer = token(served.context, Scope.WRITE)
    with httpx.Client(timeout=60, base_url=served.url, headers=writer, trust_env=False) as client:
        for path in ("/api/v1/logs", f"{SHARD}/entries/0", f"{TLOG}/checkpoint", "/metrics"):
            assert client.get(path).status_code == 403
        for path in ("search", "histogram", "tail"):
            assert client.get(f"/api/v1/logs/default/{path}").status_code == 403
        assert client.post("/api/v1/sql", json={"query": "SELECT 1"}).status_code == 403
