"""What an S3 server does wrong, and what the store says of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_server import Answer, bad_server, connection, refused

from muniment.errors import MunimentError, NoSuchObject, StoreFailing
from muniment.store.port import Store
from muniment.store.s3 import S3Store

CALLS: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("a", b"bytes"),
    "put_if_absent": lambda store: store.put_if_absent("a", b"bytes"),
    "get": lambda store: store.get("a"),
    "get_range": lambda store: store.get_range("a", 0, 9),
    "head": lambda store: store.head("a"),
    "list": lambda store: list(store.list()),
    "state": lambda store: store.write_once.state("a"),
    "versions": lambda store: list(store.write_once.versions()),
    "remove_version": lambda store: store.write_once.remove_version("a", "v"),
    "bucket": lambda store: store.write_once.bucket(),
}
WRITES = ("put", "put_if_absent", "remove_version")


def failing(port: int, call: str, **more: object) -> StoreFailing:
    """Returns how a call fails at the server on this port."""
    store = S3Store(connection(port, **more), "primary")
    try:
        with pytest.raises(StoreFailing) as caught:
            CALLS[call](store)
    finally:
        store.close()
    for shown in (str(caught.value), repr(caught.value)):
        assert "SHOWN" not in shown
    return caught.value


@pytest.mark.parametrize("call", CALLS)
def test_nothing_listens(call: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = failing(taken.getsockname()[1], call)
    assert (error.reason, error.unknown) == ("unreachable", False)


@pytest.mark.parametrize("call", CALLS)
def test_nothing_answers(call: str) -> None:
    with bad_server(lambda *_: (200, {}, b""), delay=3.0) as server:
        error = failing(server.port, call, timeout=1)
    assert (error.reason, error.unknown) == ("slow", call in WRITES)


@pytest.mark.parametrize("call", CALLS)
def test_the_connection_ends_before_the_answer(call: str) -> None:
    with bad_server(lambda *_: None) as server:
        error = failing(server.port, call)
    assert (error.reason, error.unknown) == ("unreachable", call in WRITES)


def test_the_name_is_not_known() -> None:
    error = failing(1, "put", endpoint="https://nowhere.invalid")
    assert (error.reason, error.unknown) == ("unreachable", False)


def test_the_server_speaks_no_tls() -> None:
    with bad_server(lambda *_: (200, {}, b"")) as server:
        error = failing(server.port, "put", endpoint=f"https://127.0.0.1:{server.port}")
    assert error.reason == "unreachable"


@pytest.mark.parametrize("call", ["put", "put_if_absent", "get", "list"])
@pytest.mark.parametrize(
    ("status", "code", "reason", "unknown"),
    [
        (503, "SlowDown", "busy", False),
        (503, "ServiceUnavailable", "busy", False),
        (503, "", "busy", True),
        (429, "TooManyRequests", "busy", False),
        (409, "ConditionalRequestConflict", "busy", False),
        (500, "InternalError", "busy", True),
        (502, "", "busy", True),
        (504, "", "slow", True),
        (400, "RequestTimeout", "busy", False),
        (507, "XMinioStorageFull", "full", False),
        (403, "QuotaExceeded", "full", False),
        (403, "ExpiredToken", "credentials", False),
        (400, "ExpiredToken", "credentials", False),
        (403, "AccessDenied", "credentials", False),
        (401, "", "credentials", False),
        (403, "RequestTimeTooSkewed", "credentials", False),
        (404, "NoSuchBucket", "refused", False),
        (301, "PermanentRedirect", "refused", False),
        (400, "InvalidRequest", "refused", False),
        (501, "NotImplemented", "refused", True),
    ],
)
def test_an_error_is_answered(
    call: str, status: int, code: str, reason: str, unknown: bool
) -> None:
    with bad_server(lambda *_: refused(status, code)) as server:
        error = failing(server.port, call)
    assert error.reason == reason
    assert error.unknown is (unknown and call in WRITES)
    assert len(server.seen) == 1, "it tries once"


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (503, "SlowDown", "busy"),
        (403, "ExpiredToken", "credentials"),
        (301, "PermanentRedirect", "refused"),
    ],
)
def test_an_error_is_answered_to_the_sdk(status: int, code: str, reason: str) -> None:
    with bad_server(lambda *_: refused(status, code)) as server:
        assert failing(server.port, "bucket").reason == reason
        assert len(server.seen) == 1, "it tries once"


def test_each_call_is_tried_once() -> None:
    with bad_server(lambda *_: refused(503, "SlowDown")) as server:
        for call in CALLS:
            failing(server.port, call)
    assert len(server.seen) == len(CALLS)


def test_no_bucket_is_not_no_object() -> None:
    with bad_server(lambda *_: refused(404, "NoSuchKey")) as server:
        store = S3Store(connection(server.port), "primary")
        for call in ("get", "get_range", "state"):
            with pytest.raises(NoSuchObject):
                CALLS[call](store)
        assert store.head("a") is None


def test_a_lost_answer_leaves_the_write_unknown() -> None:
    """The server has the object; whoever tries again is told that the key is taken."""
    kept: list[bytes] = []

    def answer(method: str, target: str, body: bytes) -> Answer | None:
        if method == "GET":
            return 200, {}, kept[0]
        if kept:
            return refused(412, "PreconditionFailed")
        kept.append(body)
        return None

    with bad_server(answer) as server:
        store = S3Store(connection(server.port), "wal")
        with pytest.raises(StoreFailing) as caught:
            store.put_if_absent("a", b"bytes")
        assert (caught.value.reason, caught.value.unknown) == ("unreachable", True)
        assert store.put_if_absent("a", b"bytes") is None
        assert store.get("a") == b"bytes"


def page(keys: list[str], truncated: bool) -> Answer:
    contents = "".join(f"<Contents><Key>p/{key}</Key><Size>1</Size></Contents>" for key in keys)
    more = str(truncated).lower()
    body = f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>"
    return 200, {}, body.encode()


@pytest.mark.parametrize(
    "second",
    [
        refused(503, "SlowDown"),
        None,
        (200, {}, b""),
        (200, {}, b"<ListBucketResult><Contents>"),
        (200, {}, b"<Html/>"),
        page([], True),
        page(["a"], True),
        (200, {"Content-Length": "500"}, b"<ListBucketResult>"),
    ],
    ids=["503", "gone", "empty", "cut", "other", "endless", "circle", "short"],
)
def test_a_list_never_ends_early(second: Answer | None) -> None:
    with bad_server(
        lambda _, target, __: second if "after" in target else page(["a"], True)
    ) as bad:
        store = S3Store(connection(bad.port, timeout=3), "primary")
        found = store.list()
        assert next(found).key == "a"
        with pytest.raises(StoreFailing):
            next(found)


def test_versions_do_not_go_in_circles() -> None:
    body = (
        b"<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>p/a</NextKeyMarker>"
        b"<NextVersionIdMarker>v</NextVersionIdMarker><Version><Key>p/a</Key><Size>1</Size>"
        b"<VersionId>v</VersionId></Version></ListVersionsResult>"
    )
    with bad_server(lambda *_: (200, {}, body)) as server:
        with pytest.raises(StoreFailing):
            list(S3Store(connection(server.port), "primary").write_once.versions())
        assert len(server.seen) == 2


@pytest.mark.parametrize("call", ["get", "get_range"])
def test_bytes_that_end_early_are_no_object(call: str) -> None:
    with bad_server(lambda *_: (200, {"Content-Length": "10"}, b"12345")) as server:
        assert failing(server.port, call, timeout=1).reason in ("unreachable", "slow")


@pytest.mark.parametrize("size", ["", "-1", "x", "9" * 30])
def test_a_head_without_a_size_is_refused(size: str) -> None:
    with bad_server(lambda *_: (200, {"Content-Length": size}, b"")) as server:
        store = S3Store(connection(server.port), "primary")
        with pytest.raises(MunimentError):
            store.head("a")


def test_a_file_that_is_gone_is_no_matter_of_the_server(tmp_path: Path) -> None:
    with bad_server(lambda *_: (200, {}, b"")) as server:
        store = S3Store(connection(server.port), "primary")
        for digest in (b"", bytes(32)):
            with pytest.raises(StoreFailing, match="gone cannot be read") as caught:
                store.put("a", tmp_path / "gone", sha256=digest)
            assert caught.value.reason == "refused"
        assert not server.seen


def test_an_empty_object_has_a_length() -> None:
    with bad_server(lambda *_: (200, {}, b"")) as server:
        store = S3Store(connection(server.port), "primary")
        assert store.put("a", b"") == ""
        assert server.seen[0][:2] == ("PUT", "/bucket/p/a")
        assert server.seen[0][2]["content-length"] == "0"
