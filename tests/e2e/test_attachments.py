"""Attachments on a running server: 20 MB up and down, kill -9, verify, out of the store."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import httpx
import pytest

from muniment.store.names import attachment_key
from muniment.store.opening import open_store
from muniment.store.port import Mode

from .harness.ceph import Ceph
from .harness.cli import muniment
from .harness.s3_server import ACCESS_KEY, REGION, SECRET_KEY
from .harness.server import LOG, MunimentServer, serving, split_entry
from .harness.waiting import wait_for

URL = f"/api/v1/logs/{LOG}/attachments"
BODY = Random(7).randbytes(20_000_000)
DIGEST = sha256(BODY).hexdigest()


def place(server: MunimentServer, digest: str) -> Path:
    return server.data / "attachments" / LOG / digest[:2] / digest


def entries(server: MunimentServer) -> list[dict[str, object]]:
    """The records of attachments, as the log has them."""
    (shard,) = server.http.get("/api/v1/logs").json()["logs"][0]["shards"]
    found = []
    for index in range(shard["size"]):
        path = f"/api/v1/logs/{LOG}/shards/{shard['shard']}/entries/{index}"
        _, raw = split_entry(server.http.get(path).content)
        record = json.loads(raw)
        if record.get("action") == "attachment.keep":
            found.append(record)
    return found


def test_a_large_file_there_and_back(muniment_server: MunimentServer, tmp_path: Path) -> None:
    server, file = muniment_server, tmp_path / "dump.pcap"
    file.write_bytes(BODY)
    code, said = muniment("attach", file, "--url", server.url, cwd=tmp_path)
    assert code == 0 and DIGEST in said and "dump.pcap" in said, said
    code, again = muniment("attach", file, "--url", server.url, "--json", cwd=tmp_path)
    assert code == 0 and json.loads(again)["sha256"] == DIGEST
    (record,) = entries(server)
    assert (record["sha256"], record["size"], record["name"]) == (DIGEST, len(BODY), "dump.pcap")
    assert place(server, DIGEST).stat().st_mode & 0o777 == 0o444

    out = tmp_path / "back"
    get = ("attachment", "get", DIGEST, "--url", server.url)
    assert muniment(*get, "-o", out, cwd=tmp_path) == (0, "") and out.read_bytes() == BODY
    code, said = muniment(*get, "-o", out, cwd=tmp_path)
    assert code == 2 and "there already" in said
    code, said = muniment("attachment", "get", "0" * 64, "--url", server.url, cwd=tmp_path)
    assert code == 2 and "no attachment" in said

    def searched() -> list[dict[str, object]]:
        asked = {"q": "action:attachment.keep"}
        found: list[dict[str, object]] = server.http.get(
            f"/api/v1/logs/{LOG}/search", params=asked
        ).json()["rows"]
        return found

    (row,) = wait_for(searched, "the entry to be searchable")
    assert row["class_uid"] and not row.get("parse_error")


def test_verify_finds_each_change(muniment_server: MunimentServer, tmp_path: Path) -> None:
    server = muniment_server
    assert server.http.put(URL, content=BODY).status_code == 201
    server.stop()
    code, said = muniment("verify", server.data, cwd=tmp_path)
    assert code == 0, said
    path = place(server, DIGEST)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(12_345_678)
        file.write(bytes([BODY[12_345_678] ^ 1]))
    code, said = muniment("verify", server.data, cwd=tmp_path)
    assert code == 1 and DIGEST in said
    path.unlink()
    code, said = muniment("verify", server.data, cwd=tmp_path)
    assert code == 1 and DIGEST in said


def test_kill_9_at_any_moment(muniment_server: MunimentServer, tmp_path: Path) -> None:
    server, random = muniment_server, Random(3)
    acknowledged: list[str] = []
    for number in range(8):
        body = number.to_bytes(1, "big") * 6_000_000

        def send(body: bytes = body) -> None:
            try:
                with httpx.Client(base_url=server.url, timeout=30) as client:
                    answer = client.put(URL, content=body, params={"name": "part"})
                if answer.status_code == 201:
                    acknowledged.append(answer.json()["sha256"])
            except httpx.TransportError:
                pass

        sending = threading.Thread(target=send)
        sending.start()
        time.sleep(random.uniform(0.0, 0.12))
        server.kill()
        sending.join(60)
        server.start()
        assert not list(server.data.glob(f"attachments/{LOG}/.*")), "drafts go at the start"
        for path in server.data.glob(f"attachments/{LOG}/*/*"):
            assert sha256(path.read_bytes()).hexdigest() == path.name, "whole, or not there"
        recorded = {record["sha256"] for record in entries(server)}
        assert set(acknowledged) <= recorded
        assert all(place(server, str(digest)).is_file() for digest in recorded)
        send()
        assert sha256(body).hexdigest() in acknowledged, "a repetition adopts what was left"
    assert len(entries(server)) == 8
    server.stop()
    code, said = muniment("verify", server.data, cwd=tmp_path)
    assert code == 0, said


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[MunimentServer]:
    """A server with a store in a directory."""
    (tmp_path / "stores").mkdir()
    config = (
        f'segment_age = "1s"\n[[store]]\nname = "primary"\nurl = "file://{tmp_path}/stores/a"\n'
    )
    with serving(tmp_path, config=config) as server:
        yield server


def test_an_attachment_comes_from_the_store_where_it_is_not_local(
    archived: MunimentServer,
) -> None:
    server = archived
    assert server.http.put(URL, content=BODY).status_code == 201
    key = server.data.parent / "stores/a/logs" / LOG / "attachments" / DIGEST[:2] / DIGEST
    wait_for(key.is_file, "the archive to carry it", 60)
    shutil.rmtree(server.data / "attachments" / LOG)
    answer = server.http.get(f"{URL}/{DIGEST}")
    assert answer.status_code == 200 and answer.content == BODY


def test_the_check_of_a_store_runs_in_the_node(archived: MunimentServer) -> None:
    def checked() -> dict[str, object]:
        found: dict[str, object] = archived.http.get("/api/v1/stores/primary/worm").json()
        return found if found["checked"] else {}

    found = wait_for(checked, "the first check", 60)
    assert found["ok"] is True and found["probes"]
    assert archived.http.get("/api/v1/stores/other/worm").status_code == 404
    metrics = archived.http.get("/metrics").text
    assert 'muniment_worm_ok{store="primary"} 1.0' in metrics


def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    with serving(tmp_path, data=small_disk / "data") as server:
        assert server.http.put(URL, content=BODY).status_code == 201
        answer = server.http.put(URL, content=bytes(40_000_000))
        assert answer.status_code == 503 and "No space left" in answer.json()["detail"]
        assert not list(server.data.glob(f"attachments/{LOG}/.*")), "nothing half made stays"
        assert server.http.get(f"{URL}/{DIGEST}").content == BODY
        assert server.http.put(URL, content=b"small").status_code == 201
        server.restart()
        assert len(entries(server)) == 2
        code, said = muniment("verify", server.data, cwd=tmp_path)
        assert code == 0, said


def test_an_unwilling_disk(tmp_path: Path) -> None:
    with serving(tmp_path, env={"MUNIMENT_MAX_ATTACHMENT": "1MiB"}) as server:
        assert server.http.put(URL, content=BODY).status_code == 413
        folder = server.data / "attachments"
        shutil.rmtree(folder, ignore_errors=True)
        folder.write_bytes(b"in the way")
        answer = server.http.put(URL, content=b"small")
        assert answer.status_code == 503 and answer.json()["type"].endswith("storage-failing")
        folder.unlink()
        assert server.http.put(URL, content=b"small").status_code == 201


CONFIG = """\
durability = "replicated"
max_bodies = "64MiB"

[[store]]
name = "primary"
url = "s3://{locked}/evidence"
lock = "compliance"
{access}

[wal]
url = "s3://{plain}/wal"
{access}

[retention.default]
minimum = "1h"
"""


def test_replicated_is_in_the_locked_store_before_it_is_acknowledged(
    tmp_path: Path, ceph: Ceph
) -> None:
    locked, plain = ceph.lock_bucket(), ceph.plain_bucket()
    lines = {"endpoint": ceph.endpoint, "region": REGION}
    lines |= {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    access = "\n".join(f'{key} = "{value}"' for key, value in lines.items())
    config = CONFIG.format(locked=locked, plain=plain, access=access)
    with serving(tmp_path, config=config) as server:
        answer = server.http.put(URL, content=BODY)
        assert answer.status_code == 201 and answer.json()["durability"] == "replicated"
        store = open_store(ceph.connection(locked, "evidence"), "primary")
        key = attachment_key(LOG, bytes.fromhex(DIGEST))
        lock = store.write_once.state(key).lock
        assert store.get(key) == BODY and lock and lock.mode is Mode.COMPLIANCE
        ceph.stop_gateway()
        try:
            refused = server.http.put(URL, content=BODY + b"more")
        finally:
            ceph.start_gateway()
        assert refused.status_code == 503 and refused.json()["type"].endswith("store-failing")
        wait_for(
            lambda: server.http.put(URL, content=BODY + b"more").status_code == 201,
            "the store to be there again",
        )
        assert len(entries(server)) == 2
