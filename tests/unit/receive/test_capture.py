"""The dialect of the agent: parcels become entries that say where in which stream they stand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from muniment import kernel
from muniment.capture.chain import first_head
from muniment.capture.parcel import MEDIA, Parcel, encode
from muniment.errors import InputError, Overloaded, UnsupportedMedia
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding
from muniment.receive.dialect import Posting, Taken
from muniment.receive.dialects import DIALECTS
from muniment.receive.dialects.capture import DIALECT
from muniment.receive.groups import pack
from muniment.receive.header import Origin

HEAD = first_head("lb1/access").hex()
PARCEL = Parcel("lb1/access", 7, HEAD, "haproxy", [b"one", b"", b"two\n"], {"file": "/var/log/x"})


def post(*headers: tuple[bytes, bytes]) -> Posting:
    return Posting("/capture", b"", headers or ((b"content-type", MEDIA.encode()),))


def take(body: bytes) -> Taken:
    return DIALECT.take(post(), body, 1 << 20, lambda _: None)


def test_it_is_one_of_the_dialects_and_its_path_is_its_own() -> None:
    assert DIALECT in DIALECTS
    assert DIALECT.handles("/capture")
    assert not DIALECT.handles("/capture/")


def test_only_parcels_are_taken() -> None:
    zstd = (b"content-encoding", b"zstd")
    assert DIALECT.coding(post((b"content-type", MEDIA.encode()), zstd)) is Coding.ZSTD
    assert DIALECT.coding(post()) is Coding.IDENTITY
    with pytest.raises(UnsupportedMedia):
        DIALECT.coding(post((b"content-type", b"application/json")))


def test_a_parcel_is_one_group_with_an_id_of_its_own() -> None:
    taken = take(encode(PARCEL))
    (group,) = taken.groups
    assert (group.source, list(group.records), group.about) == (
        "haproxy",
        [b"one", b"", b"two\n"],
        {"file": "/var/log/x"},
    )
    assert (group.stream, group.seq, group.prev) == ("lb1/access", 7, HEAD)
    assert taken.id.startswith("lb1/access 7 ")
    assert take(encode(PARCEL)).id == taken.id
    other = replace(PARCEL, records=[b"one", b"", b"three"])
    assert take(encode(other)).id != taken.id, "of an agent that lost its state"


def test_the_header_of_its_entries_says_stream_number_and_head() -> None:
    origin = Origin("capture", "", sender="edge").identified("capture lb1/access 7")
    (chunk,) = pack(take(encode(PARCEL)).groups, "2026-11-21T10:00:00Z", "n1", origin)
    header = kernel.unpack(chunk.payload)[0].partition(b"\n")[0]
    assert list(json.loads(header)) == [
        *("at", "node", "via", "from", "as", "stream", "seq", "prev", "id", "about")
    ]
    assert json.loads(header)["prev"] == HEAD


def test_a_broken_chain_is_kept_for_who_checks_it() -> None:
    broken = Parcel("lb1/access", 1, "0" * 64, "haproxy", [b"one"])
    assert take(encode(broken)).count == 1


def test_what_is_no_parcel_is_refused_with_a_problem() -> None:
    with pytest.raises(InputError) as error:
        take(b"")
    reply = DIALECT.refused(post(), error.value)
    assert (reply.status, reply.media) == (400, "application/problem+json")
    assert "parcel" in json.loads(reply.body)["detail"]
    assert DIALECT.refused(post(), Overloaded("full")).status == 429


def test_the_answer_says_how_many_are_kept() -> None:
    kept = Acknowledgement("default", "s", 10, 3, "local", "receipt", replayed=True)
    reply = DIALECT.accepted(post(), take(encode(PARCEL)), kept)
    assert reply.status == 201
    assert json.loads(reply.body) == {
        "log": "default",
        "shard": "s",
        "first": 10,
        "count": 3,
        "replayed": True,
        "receipt": "receipt",
    }
