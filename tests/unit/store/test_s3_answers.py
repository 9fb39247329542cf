"""What an S3 server answers is read, or refused; nothing else comes of it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import StoreFailing
from muniment.store.port import Lock, Mode, Object
from muniment.store.s3_bucket import _expiring, _statements
from muniment.store.s3_client import Answer
from muniment.store.s3_errors import code_of, reason_of
from muniment.store.s3_list import page_of
from muniment.store.s3_state import gone, headed_lock, lock_of, object_of, version_of

VERSIONS = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>bucket</Name><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<NextKeyMarker>a%2Fb+c</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>
<DeleteMarker><Key>a%20b</Key><VersionId>m2</VersionId><IsLatest>true</IsLatest>
<LastModified>2026-11-21T10:00:00.000Z</LastModified></DeleteMarker>
<Version><Key>a%20b</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest>
<LastModified>2026-11-21T10:00:00.000Z</LastModified><Size>7</Size>
<Owner><ID>x</ID></Owner></Version>
<DeleteMarker><Key>a%20b</Key><VersionId>m1</VersionId><IsLatest>false</IsLatest>
<LastModified>2026-11-21T10:00:00.000Z</LastModified></DeleteMarker>
</ListVersionsResult>"""
MOMENT = datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_versions_keep_the_order_of_the_document() -> None:
    page = page_of("x", VERSIONS)
    assert page.entries == [
        Object("a b", 0, "m2", MOMENT, True, True),
        Object("a b", 7, "v2", MOMENT, False, False),
        Object("a b", 0, "m1", MOMENT, False, True),
    ]
    assert (page.truncated, page.next_key, page.next_version) == (True, "a/b c", "v1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"<a/>",
        VERSIONS[:-5],
        b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(StoreFailing):
        page_of("x", body)


def test_entities_do_not_grow() -> None:
    levels = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 20}">' if n else '<!ENTITY e0 "0123456789">'
        for n in range(12)
    )
    body = f"<!DOCTYPE a [{levels}]><ListBucketResult><Name>&e11;</Name></ListBucketResult>"
    with pytest.raises(StoreFailing):
        page_of("x", body.encode())


def test_locks_are_read_as_servers_write_them() -> None:
    wanted = Lock(Mode.COMPLIANCE, MOMENT)
    for until in ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000Z", "2026-11-21T10:00:00.5Z"):
        assert lock_of("x", "COMPLIANCE", until) == wanted
    assert lock_of("x", "COMPLIANCE", "2026-11-21T10:00:00.123456789Z") == wanted
    for mode, until in (("ODD", "2026-11-21T10:00:00Z"), ("COMPLIANCE", "soon")):
        with pytest.raises(StoreFailing):
            lock_of("x", mode, until)


def test_the_code_is_found_in_the_error() -> None:
    assert code_of(b"<Error><Code>SlowDown</Code></Error>") == "SlowDown"
    assert code_of(b"<Error><Code>a\nb</Code></Error>") == code_of(b"oops") == ""


def test_rules_that_delete_are_named() -> None:
    rules = [
        {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 9}},
        {"ID": "off", "Status": "Disabled", "Filter": {}, "Expiration": {"Days": 9}},
        {
            "ID": "kept",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "p/logs/"}},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 3},
        },
        {"ID": "other", "Status": "Enabled", "Prefix": "q/", "Expiration": {"Days": 1}},
        {"ID": "parts", "Status": "Enabled", "AbortIncompleteMultipartUpload": {}},
    ]
    assert list(_expiring(rules, "p/")) == [
        "rule 'old' on '': Expiration 9 days",
        "rule 'kept' on 'p/logs/': NoncurrentVersionExpiration 3 days",
    ]


TEXT = st.text(max_size=40)
NAMES = st.sampled_from(
    [
        "content-length",
        "last-modified",
        "x-amz-version-id",
        "x-amz-delete-marker",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
    ]
)
VALUES = TEXT | st.sampled_from(["true", "12", "GOVERNANCE", "2026-11-21T10:00:00Z", "null"])


@pytest.mark.fuzz
@given(st.binary(max_size=400) | st.integers(0, len(VERSIONS)).map(lambda n: VERSIONS[:n]))
def test_fuzz_pages(body: bytes) -> None:
    with suppress(StoreFailing):
        page_of("x", body)
    assert len(code_of(body)) <= 64


@pytest.mark.fuzz
@given(st.integers(0, len(VERSIONS) - 1), st.integers(0, 255))
def test_fuzz_changed_pages(place: int, byte: int) -> None:
    with suppress(StoreFailing):
        page_of("x", VERSIONS[:place] + bytes([byte]) + VERSIONS[place + 1 :])


@pytest.mark.fuzz
@given(st.integers(100, 599), st.dictionaries(NAMES, VALUES), st.binary(max_size=40))
def test_fuzz_headers(status: int, headers: dict[str, str], body: bytes) -> None:
    answer = Answer(status, headers, body)
    gone(answer)
    version_of(answer)
    assert reason_of(status, answer.code)
    with suppress(StoreFailing):
        object_of("x", "key", answer)
    with suppress(StoreFailing):
        headed_lock("x", answer)


@pytest.mark.fuzz
@given(TEXT)
def test_fuzz_policies(policy: str) -> None:
    _statements(policy)
