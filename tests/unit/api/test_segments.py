"""The files of a shard over HTTP: durable bytes only, in bounds, waited for."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from api_parts import NAME, FailingShard, Serve, Served, eventually, token
from prometheus_client.parser import text_string_to_metric_families

from muniment.access import Scope
from muniment.api import segments
from muniment.fleet.mirror import MirrorState, MirrorStatus

FOLDER = f"/api/v1/logs/default/shards/{NAME}/segments"
LENGTH, ENDED, SIZE = "muniment-segment-length", "muniment-segment-ended", "muniment-shard-size"


def append(client: httpx.Client, *lines: str) -> None:
    body = "\n".join(lines).encode()
    headers = {"content-type": "text/plain"}
    assert client.post("/api/v1/logs/default/entries", content=body, headers=headers).is_success


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "default" / NAME).glob("*.seg"))


def settled(client: httpx.Client, tmp_path: Path) -> bytes:
    """The bytes of the only segment once its checkpoint is published."""
    eventually(lambda: (tmp_path / "default" / NAME / "checkpoints").exists())
    eventually(
        lambda: int(client.get(f"{FOLDER}/0").headers[LENGTH]) == files(tmp_path)[0].stat().st_size
    )
    return files(tmp_path)[0].read_bytes()


def test_an_empty_shard_has_no_segment_yet(client: httpx.Client) -> None:
    listed = client.get(FOLDER).json()
    assert (listed["size"], listed["minimum"], listed["segments"]) == (0, 0, [])
    assert listed["verifier"].startswith("muniment.test/default/")
    answer = client.get(f"{FOLDER}/0")
    assert (answer.status_code, answer.content, answer.headers[ENDED]) == (200, b"", "false")


def test_the_bytes_are_those_of_the_file(client: httpx.Client, tmp_path: Path) -> None:
    append(client, *(f"line {number}" for number in range(50)))
    data = settled(client, tmp_path)
    assert client.get(FOLDER).json()["segments"] == [
        {"first": 0, "length": len(data), "ended": False}
    ]
    for start in (0, 1, 77, len(data) - 1, len(data), len(data) + 9):
        answer = client.get(f"{FOLDER}/0", params={"from": start})
        assert answer.content == data[start:]
        assert (answer.headers[LENGTH], answer.headers[SIZE]) == (str(len(data)), "50")
        assert answer.headers["cache-control"] == "no-store"


def test_what_is_behind_the_last_durable_byte_never_goes_out(
    client: httpx.Client, tmp_path: Path
) -> None:
    append(client, "a")
    data = settled(client, tmp_path)
    with files(tmp_path)[0].open("ab") as file:
        file.write(b"MNMF of a write that is not synced")
    assert client.get(f"{FOLDER}/0").content == data


def test_a_sealed_segment_is_cached_for_ever(
    client: httpx.Client, shard: FailingShard, tmp_path: Path
) -> None:
    append(client, "a", "b")
    shard.seal()
    eventually(lambda: client.get(f"{FOLDER}/0").headers[ENDED] == "true")
    answer = client.get(f"{FOLDER}/0")
    assert answer.content == files(tmp_path)[0].read_bytes()
    assert answer.content[-16:-8] == b"MUNIEND1"
    assert "immutable" in answer.headers["cache-control"]
    behind = client.get(f"{FOLDER}/0", params={"from": len(answer.content), "wait": 30})
    assert behind.content == b"" and behind.headers["cache-control"] == "no-store"
    following = client.get(f"{FOLDER}/2")
    assert (following.content, following.headers[ENDED]) == (b"", "false")
    append(client, "c")
    assert [one["first"] for one in client.get(FOLDER).json()["segments"]] == [0, 2]


def test_an_answer_is_bounded(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(client, *(f"line {number}" for number in range(50)))
    data = settled(client, tmp_path)
    monkeypatch.setattr(segments, "MAX_BYTES", 100)
    monkeypatch.setattr(segments, "_PIECE", 30)
    answer = client.get(f"{FOLDER}/0", params={"from": 20})
    assert answer.content == data[20:120] and answer.headers[LENGTH] == str(len(data))


def test_it_waits_for_more(client: httpx.Client, served: Served, tmp_path: Path) -> None:
    append(client, "a")
    data = settled(client, tmp_path)
    found: list[httpx.Response] = []

    def wait() -> None:
        params = {"from": len(data), "wait": 30}
        found.append(httpx.get(f"{served.url}{FOLDER}/0", params=params, timeout=60))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: served.context.meters.waiting == 1)
    assert not found
    append(client, "b")
    thread.join(60)
    assert found[0].content.startswith(b"MNMF")
    assert client.get(f"{FOLDER}/0").headers[SIZE] == "2"
    eventually(lambda: served.context.meters.waiting == 0)


def test_the_time_is_over(client: httpx.Client) -> None:
    started = time.monotonic()
    assert client.get(f"{FOLDER}/0", params={"wait": 0.2}).content == b""
    assert time.monotonic() - started >= 0.2


def test_there_are_only_so_many_that_wait(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MAX_WAITING", 0)
    assert client.get(f"{FOLDER}/0", params={"wait": 1}).status_code == 429
    assert client.get(f"{FOLDER}/0").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{FOLDER}/7", 404),
        (f"{FOLDER}/-1", 400),
        (f"{FOLDER}/x", 400),
        (f"{FOLDER}/0?from=-1", 400),
        (f"{FOLDER}/0?wait=31", 400),
        (f"{FOLDER}/0?offset=1", 400),
        ("/api/v1/logs/default/shards/other/segments", 404),
        ("/api/v1/logs/other/shards/x/segments/0", 404),
    ],
)
def test_what_is_not_there(client: httpx.Client, path: str, status: int) -> None:
    assert client.get(path).status_code == status


def test_it_needs_the_right_to_read(serve: Serve) -> None:
    served = serve(required=True)
    writer = token(served.context, Scope.WRITE)
    reader = token(served.context, Scope.READ)
    for path in (FOLDER, f"{FOLDER}/0", "/api/v1/mirrors"):
        assert httpx.get(f"{served.url}{path}", timeout=60).status_code == 401
        assert httpx.get(f"{served.url}{path}", timeout=60, headers=writer).status_code == 403
        assert httpx.get(f"{served.url}{path}", timeout=60, headers=reader).status_code == 200


class Scripted:
    """Mirrors that say what a test wants."""

    def status(self) -> list[MirrorStatus]:
        return [
            MirrorStatus("default", "a1", MirrorState.FOLLOWING, 7, "00ff", "note", "https://n1"),
            MirrorStatus(
                "default",
                "b2",
                MirrorState.DAMAGED,
                3,
                lag=4,
                lag_seconds=2.5,
                entries=3,
                failures={"contradiction": 1},
                problem="another history",
            ),
        ]


def test_mirrors_are_told(served: Served, client: httpx.Client) -> None:
    assert client.get("/api/v1/mirrors").json() == {"mirrors": []}
    served.context.mirrors = Scripted()  # type: ignore[assignment]
    one, two = client.get("/api/v1/mirrors").json()["mirrors"]
    assert (one["state"], one["size"], one["root"]) == ("following", 7, "00ff")
    assert (two["state"], two["problem"]) == ("damaged", "another history")
    samples = {
        (sample.name, sample.labels.get("shard"), sample.labels.get("reason")): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name.startswith("muniment_mirror_")
    }
    assert samples["muniment_mirror_ok", "a1", None] == 1
    assert samples["muniment_mirror_ok", "b2", None] == 0
    assert samples["muniment_mirror_lag_entries", "b2", None] == 4
    assert samples["muniment_mirror_lag_seconds", "b2", None] == 2.5
    assert samples["muniment_mirror_entries_total", "b2", None] == 3
    assert samples["muniment_mirror_failures_total", "b2", "contradiction"] == 1


def test_who_has_gone_waits_no_more(served: Served) -> None:
    where, waiting = httpx.URL(served.url), served.context.meters
    with socket.create_connection((where.host, where.port or 0)) as caller:
        asked = f"GET {FOLDER}/0?wait=30 HTTP/1.1\r\nhost: {where.host}\r\n\r\n"
        caller.sendall(asked.encode())
        eventually(lambda: waiting.waiting == 1, 20)
    eventually(lambda: waiting.waiting == 0, 20)
