"""CloudTrail digests: what they say, and whether it holds, without a bucket."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_trail import BUCKET, FINGERPRINT, Trail, public_keys

from muniment.capture.feeds import digests
from muniment.capture.feeds.s3_objects import Unreadable, uncompressed
from muniment.capture.feeds.s3_trail import records
from muniment.errors import InputError

KEY = digests.public_key(public_keys()["PublicKeyList"][0]["Value"])


def made(**changed):
    trail = Trail(datetime(2026, 11, 21, 10, tzinfo=UTC))
    trail.deliver({"eventID": "1"})
    key = trail.digest(**changed)
    return gzip.decompress(trail.objects[key]), trail.signatures[key], key


CONTENT, SIGNATURE, PLACE = made()


def test_what_a_digest_says() -> None:
    digest = digests.read(CONTENT)
    assert (digest.bucket, digest.key, digest.fingerprint) == (BUCKET, PLACE, FINGERPRINT)
    assert (digest.start, digest.end) == ("2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z")
    assert digest.previous is None
    assert digest.signed_bytes().endswith(b"\nnull")
    assert len(digest.files) == 1
    assert list(digests.faults(digest, SIGNATURE, KEY, (BUCKET, PLACE), None)) == []


@pytest.mark.parametrize("signature", ["", "zz", SIGNATURE[:-2], SIGNATURE.replace("a", "b")])
def test_a_signature_that_is_none(signature) -> None:
    assert not digests.signature_holds(digests.read(CONTENT), signature, KEY)


@pytest.mark.parametrize(
    "changed",
    [
        {"logFiles": None},
        {"logFiles": [1]},
        {"logFiles": [{"s3Bucket": "b", "s3Object": "k", "hashValue": "x"}]},
        {"digestS3Object": 7},
        {"digestSignatureAlgorithm": "MD5withRSA"},
        {"previousDigestS3Object": "k", "previousDigestS3Bucket": "b"},
    ],
)
def test_what_is_no_digest(changed) -> None:
    content = json.dumps(json.loads(CONTENT) | changed).encode()
    with pytest.raises(InputError):
        digests.read(content)


@pytest.mark.parametrize("encoded", ["", "!", "AAAA", b"\x30\x00"])
def test_what_is_no_key(encoded) -> None:
    with pytest.raises(InputError):
        digests.public_key(encoded)


def test_chains_of_trails_regions_and_backfills_are_apart() -> None:
    folder = "AWSLogs/1/CloudTrail-Digest/r/2026/11/21/"
    keys = [
        f"{folder}1_CloudTrail-Digest_r_main_r_20261121T110000Z.json.gz",
        f"{folder}1_CloudTrail-Digest_r_other_r_20261121T110000Z.json.gz",
        f"{folder}1_CloudTrail-Digest_r_main_r_20261121T110000Z_backfill.json.gz",
    ]
    assert len({digests.chain_of(key) for key in keys}) == 3
    later = keys[0].replace("11/21", "11/22").replace("1121T", "1122T")
    assert digests.chain_of(later) == digests.chain_of(keys[0])


@pytest.mark.fuzz
@given(st.binary(max_size=300) | st.integers(0, len(CONTENT)).map(lambda n: CONTENT[:n]))
def test_no_bytes_raise_anything_but_input_errors(content) -> None:
    try:
        digest = digests.read(content)
    except InputError:
        return
    assert digest.hash


@pytest.mark.fuzz
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_any_byte_that_is_changed_is_found(place, change) -> None:
    altered = bytearray(CONTENT)
    altered[place] ^= change
    try:
        digest = digests.read(bytes(altered))
    except InputError:
        return
    assert list(digests.faults(digest, SIGNATURE, KEY, (BUCKET, PLACE), None))


@pytest.mark.fuzz
@given(st.binary(max_size=200), st.integers(1, 9), st.integers(0, 60), st.booleans())
def test_gzip_however_it_is_cut(content, size, broken, zipped) -> None:
    data = gzip.compress(content) + gzip.compress(content) if zipped else content
    pieces = [data[n : n + size] for n in range(0, len(data), size)]
    if zipped or not data.startswith(b"\x1f\x8b"):
        expected = content * 2 if zipped else content
        assert b"".join(uncompressed(iter(pieces))) == expected
    altered = bytearray(data)
    if altered:
        altered[broken % len(altered)] ^= 0x55
    with suppress(Unreadable):
        assert sum(map(len, uncompressed(iter([bytes(altered)])))) <= 1 << 20


@pytest.mark.fuzz
@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda b: b'{"Records":[' + b + b"]}"))
def test_files_of_any_bytes(content) -> None:
    try:
        found = records(content, "k")
    except Unreadable:
        return
    assert all(one in content for one in found)
