"""Attachments over HTTP: kept once, named by an entry, checked while they are read."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from api_parts import NAME, FailingShard, Serve, Served, eventually, token

from muniment.access import Scope
from muniment.api import attachments as routes
from muniment.errors import StorageFailing, StoreFailing
from muniment.log.disk import PosixDisk
from muniment.store.attachments import Attachments, Files, Kept

URL = "/api/v1/logs/default/attachments"
BODY = bytes(range(256)) * 20_000


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "attachments", PosixDisk(), max_bytes=8 << 20)


@pytest.fixture(autouse=True)
def kept(served: Served, files: Files) -> None:
    served.context.attachments = Attachments(files)


def drafts(files: Files) -> list[str]:
    return [path.name for path in files.directory.rglob(".*")]


def entry(client: httpx.Client, index: int) -> tuple[dict[str, object], dict[str, object]]:
    """The header and the record of an entry."""
    answer = client.get(f"/api/v1/logs/default/shards/{NAME}/entries/{index}")
    header, raw = answer.content.split(b"\n", 1)
    return json.loads(header), json.loads(raw)


def test_a_body_is_kept_named_and_given_back(client: httpx.Client, files: Files) -> None:
    headers = {"content-type": "application/x-tar; v=1"}
    answer = client.put(URL, params={"name": "etc.tar"}, content=BODY, headers=headers)
    assert answer.status_code == 201, answer.text
    told, digest = answer.json(), sha256(BODY).hexdigest()
    assert told["sha256"] == digest and told["size"] == len(BODY)
    assert told["index"] == told["first"] and told["receipt"]
    assert answer.headers["location"] == f"{URL}/{digest}"
    path = files.directory / "default" / digest[:2] / digest
    assert path.read_bytes() == BODY and path.stat().st_mode & 0o777 == 0o444

    header, record = entry(client, told["index"])
    assert header["via"] == header["as"] == "muniment" and header["from"] == "local"
    assert record["action"] == "attachment.keep" and record["sha256"] == digest
    assert (record["size"], record["name"]) == (len(BODY), "etc.tar")
    assert record["media_type"] == headers["content-type"]

    got = client.get(f"{URL}/{digest}")
    assert got.content == BODY and got.headers["content-length"] == str(len(BODY))
    assert got.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert got.headers["repr-digest"] == f"sha-256=:{b64encode(bytes.fromhex(digest)).decode()}:"
    assert got.headers["content-type"] == "application/octet-stream"
    again = client.get(f"{URL}/{digest}", headers={"if-none-match": got.headers["etag"]})
    assert again.status_code == 304 and not again.content
    head = client.head(f"{URL}/{digest}")
    assert head.status_code == 200 and head.headers["content-length"] == str(len(BODY))
    assert not drafts(files)


def test_the_same_again_gets_the_first_answer(client: httpx.Client, shard: FailingShard) -> None:
    first = client.put(URL, params={"name": "a"}, content=BODY)
    again = client.put(URL, params={"name": "a"}, content=BODY)
    assert again.status_code == 201 and again.headers["idempotency-replayed"] == "true"
    assert again.json()["index"] == first.json()["index"] and shard.size == 1
    other = client.put(URL, params={"name": "b"}, content=BODY)
    assert other.json()["index"] == 1 and "idempotency-replayed" not in other.headers


def test_many_at_once_with_the_same_body(client: httpx.Client, files: Files) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.put(URL, content=BODY), range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["index"] for answer in answers}) == 1
    assert list(files.names("default")) == [sha256(BODY).digest()] and not drafts(files)


def test_a_body_in_chunks(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(BODY), 100_000):
            yield BODY[start : start + 100_000]

    assert client.put(URL, content=pieces()).json()["sha256"] == sha256(BODY).hexdigest()


def test_a_wrong_digest_keeps_nothing(
    client: httpx.Client, files: Files, shard: FailingShard
) -> None:
    digest = b64encode(sha256(b"other").digest()).decode()
    for field in (f"sha-256=:{digest}:", f"md5=:x:, sha-256=:{digest}:", "sha-256=:nonsense:"):
        answer = client.put(URL, content=BODY, headers={"content-digest": field})
        assert answer.status_code == 400, answer.text
    assert not list(files.names("default")) and not drafts(files) and shard.size == 0
    right = b64encode(sha256(BODY).digest()).decode()
    fields = {"content-digest": f"sha-256=:{right}:, sha-512=:AAAA:"}
    assert client.put(URL, content=BODY, headers=fields).status_code == 201


@pytest.mark.parametrize(
    ("name", "media", "status"),
    [
        ("../../etc/passwd", "text/plain", 201),
        ("/etc/shadow", "text/plain", 201),
        ("ein Schlüssel.pem", "application/x-pem-file", 201),
        ("a\nb", "text/plain", 400),
        ("a\0b", "text/plain", 400),
        ("\u202etxt.exe", "text/plain", 400),
        ("x" * 256, "text/plain", 400),
        ("a", "no media type", 400),
        ("a", "text/html; " + "x" * 200, 400),
    ],
)
def test_names_are_said_and_never_paths(
    client: httpx.Client, files: Files, name: str, media: str, status: int
) -> None:
    headers = {"content-type": media}
    answer = client.put(URL, params={"name": name}, content=b"x", headers=headers)
    assert answer.status_code == status, answer.text
    there = [path for path in files.directory.parent.rglob("*") if path.is_file()]
    inside = [path for path in there if path.is_relative_to(files.directory)]
    assert len(inside) == (status == 201)
    assert all(len(path.name) == 64 for path in inside)


def test_what_is_refused(client: httpx.Client, files: Files) -> None:
    assert client.put(URL, content=b"").status_code == 400
    assert client.put(URL.replace("default", "other"), content=b"x").status_code == 404
    assert client.put(URL, content=b"x", headers={"content-encoding": "gzip"}).status_code == 415
    assert client.put(URL, params={"as": "x"}, content=b"x").status_code == 400
    assert client.get(f"{URL}/{'0' * 64}").status_code == 404
    assert client.get(f"{URL}/{'0' * 63}").status_code == 400
    assert client.get(f"{URL}/..%2f..%2ftokens.json").status_code in (400, 404)
    assert not drafts(files)


def test_a_body_over_the_bound(client: httpx.Client, files: Files) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(9):
            yield bytes(1 << 20)

    for body in (bytes(9 << 20), endless()):
        answer = client.put(URL, content=body)
        assert answer.status_code == 413 and "8,388,608" in answer.json()["detail"]
    assert not list(files.names("default")) and not drafts(files)


def test_rights(serve: Serve, files: Files) -> None:
    served = serve(required=True)
    served.context.attachments = Attachments(files)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        digest = sha256(b"x").hexdigest()
        assert client.put(URL, content=b"x").status_code == 401
        reader, writer = token(served.context, Scope.READ), token(served.context, Scope.WRITE)
        assert client.put(URL, content=b"x", headers=reader).status_code == 403
        assert client.put(URL, content=b"x", headers=writer).status_code == 201
        assert client.get(f"{URL}/{digest}", headers=writer).status_code == 403
        got = client.get(f"{URL}/{digest}", headers=reader)
        assert got.content == b"x" and got.headers["cache-control"].startswith("private")


def test_a_log_that_refuses_leaves_a_body_that_is_adopted(
    client: httpx.Client, files: Files, shard: FailingShard
) -> None:
    shard.refusal = StorageFailing("the disk is full")
    assert client.put(URL, content=BODY).status_code == 503
    assert list(files.names("default")) and shard.size == 0
    shard.refusal = None
    assert client.put(URL, content=BODY).status_code == 201 and shard.size == 1


class Refusing(Attachments):
    """Its store has the body of no attachment."""

    def confirm(self, log: str, kept: Kept) -> None:
        raise StoreFailing("the primary store cannot be reached", reason="unreachable")


def test_replicated_waits_for_the_store(
    client: httpx.Client, served: Served, files: Files, shard: FailingShard
) -> None:
    served.context.attachments = Refusing(files)
    answer = client.put(URL, content=BODY)
    assert answer.status_code == 503 and answer.json()["type"].endswith("store-failing")
    assert shard.size == 0


def test_bytes_that_rotted_are_never_given_whole(client: httpx.Client, files: Files) -> None:
    digest = client.put(URL, content=BODY).json()["sha256"]
    path = files.path("default", bytes.fromhex(digest))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(len(BODY) - 1)
        file.write(b"?")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{URL}/{digest}")
    assert client.put(URL, content=BODY).status_code == 201, "who has it heals it"
    assert client.get(f"{URL}/{digest}").content == BODY


def test_only_so_many_at_a_time(client: httpx.Client, served: Served) -> None:
    places = served.context.attachment_places
    digest = client.put(URL, content=b"x").json()["sha256"]
    places["write"] = places["read"] = routes.AT_A_TIME
    for answer in (client.put(URL, content=b"x"), client.get(f"{URL}/{digest}")):
        assert answer.status_code == 429 and answer.headers["retry-after"] == "2"
    places.clear()


def test_a_client_that_goes_leaves_nothing(
    client: httpx.Client, served: Served, files: Files
) -> None:
    with served.connect() as connection:
        connection.sendall(
            f"PUT {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n".encode()
        )
        connection.sendall(bytes(2_000_000))
        eventually(lambda: bool(drafts(files)))
    eventually(lambda: not drafts(files))
    eventually(lambda: not served.context.attachment_places["write"])
    digest = client.put(URL, content=BODY).json()["sha256"]
    with served.connect() as connection:
        connection.sendall(f"GET {URL}/{digest} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.recv(1000)
    eventually(lambda: not served.context.attachment_places["read"])


def test_a_server_without_attachments(client: httpx.Client, served: Served) -> None:
    served.context.attachments = None
    assert client.put(URL, content=b"x").status_code == 404
