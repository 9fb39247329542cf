"""Where a bucket is, and whether a server that looks as if it fenced does."""

from __future__ import annotations

import time

import pytest
from bad_server import Answer, bad_server, connection, refused
from botocore.session import Session

from muniment.settings.store import Connection
from muniment.store.s3 import S3Store
from muniment.store.s3_client import _bucket_url


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "url"),
    [
        ("evidence", "eu-central-1", None, "https://evidence.s3.eu-central-1.amazonaws.com"),
        ("a.b", "eu-central-1", None, "https://s3.eu-central-1.amazonaws.com/a.b"),
        ("evidence", "cn-north-1", None, "https://evidence.s3.cn-north-1.amazonaws.com.cn"),
        ("evidence", "x", "https://s3.example:9000", "https://s3.example:9000/evidence"),
        ("evidence", "x", "https://s3.example/below/", "https://s3.example/below/evidence"),
    ],
)
def test_a_bucket_is_where_the_server_has_it(
    bucket: str, region: str, endpoint: str | None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    there = Connection(url=f"s3://{bucket}/p", endpoint=endpoint, region=region)
    assert _bucket_url(there, Session(), region) == url


def test_a_store_without_a_prefix_has_the_whole_bucket() -> None:
    with bad_server(lambda *_: (200, {}, b"")) as server:
        store = S3Store(connection(server.port, url="s3://bucket"), "primary")
        store.put("a/b", b"")
        assert server.seen[0][1] == "/bucket/a/b"
        assert store.url == "s3://bucket"


@pytest.mark.parametrize("atomic", [True, False])
def test_looking_before_putting_is_no_fence(atomic: bool) -> None:
    """A server that looks first and puts later lets several of those at once win."""
    kept: dict[str, bytes] = {}

    def answer(method: str, target: str, body: bytes) -> Answer:
        key = target.partition("?")[0]
        if method == "PUT":
            if atomic:
                return (200, {}, b"") if kept.setdefault(key, body) is body else taken()
            if key in kept:
                return taken()
            time.sleep(0.2)
            kept[key] = body
            return 200, {}, b""
        if method == "DELETE":
            kept.pop(key, None)
            return 204, {}, b""
        if "versioning" in target:
            return 200, {}, b"<VersioningConfiguration/>"
        return (200, {}, kept[key]) if key in kept else refused(404, "NoSuchKey")

    def taken() -> Answer:
        return refused(412, "PreconditionFailed")

    with bad_server(answer) as server:
        store = S3Store(connection(server.port, timeout=10), "wal")
        assert store.fences("probe") is atomic
        assert not kept, "the probes are removed"


def test_a_store_that_ignores_the_condition_is_no_fence() -> None:
    def answer(method: str, target: str, body: bytes) -> Answer:
        return 200, {}, b"<VersioningConfiguration/>"

    with bad_server(answer) as server:
        assert not S3Store(connection(server.port), "wal").fences("probe")


@pytest.mark.parametrize("knows", [True, False])
def test_remove_leaves_nothing_in_a_versioned_bucket(knows: bool) -> None:
    """Also without the right to ask for the versioning: the marker that DELETE made tells."""
    kept = ["m", "v2", "v1"] if not knows else ["v2", "v1"]
    removed: list[str] = []

    def answer(method: str, target: str, body: bytes) -> Answer:
        if "versioning" in target:
            status = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
            return (200, {}, status) if knows else refused(403, "AccessDenied")
        if method == "DELETE" and "versionId=" in target:
            removed.append(target.rpartition("=")[2])
            return 204, {}, b""
        if method == "DELETE":
            return 204, {"x-amz-delete-marker": "true", "x-amz-version-id": "m"}, b""
        left = [version for version in kept if version not in removed]
        entries = "".join(
            f"<Version><Key>p/{key}</Key><VersionId>{version}</VersionId><Size>1</Size></Version>"
            for key in ("a", "a/b")
            for version in left
        )
        return 200, {}, f"<ListVersionsResult>{entries}</ListVersionsResult>".encode()

    with bad_server(answer) as server:
        S3Store(connection(server.port), "wal").remove("a")
    assert removed == (["v1", "v2"] if knows else ["m", "v1", "v2"])
