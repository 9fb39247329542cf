"""Change events sent to a real server: objects, versions, states, differences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson

from muniment.capture.chain import first_head
from muniment.capture.change import change, record
from muniment.capture.parcel import MEDIA, Parcel, encode
from muniment.capture.snapshot import Snapshot

from .harness.cli import muniment
from .harness.server import MunimentServer
from .harness.waiting import wait_for

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
SERVER = "haproxy:lb1/server/web/w2"
FILE = "haproxy:lb1/file/etc/haproxy/haproxy.cfg"


def at(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def changed(
    name: str, seconds: int, before: Snapshot | None, after: Snapshot | None, *, first: bool = False
) -> bytes:
    since = "" if first else at(seconds - 5)
    event = change(name, before, after, time=at(seconds), since=since)
    assert event is not None
    return record(event)


def server(weight: int, **more: Any) -> Snapshot:
    where = {"backend": "web", "server": "w2"}
    return Snapshot({"address": "10.0.0.2:80", "weight": weight, **more}, where=where)


def send(muniment: MunimentServer, events: list[bytes], source: str = "change") -> dict[str, Any]:
    answer = muniment.http.post(
        f"/api/v1/logs/default/entries?as={source}",
        content=b"\n".join(events),
        headers={"content-type": "application/x-ndjson"},
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ship(muniment: MunimentServer, seq: int, event: bytes) -> None:
    """Sends one event as the agent does, which may be larger than an entry."""
    parcel = Parcel("lb1/files", seq, first_head("lb1/files").hex(), "change", [event])
    answer = muniment.http.post(
        "/in/default/capture", content=encode(parcel), headers={"content-type": MEDIA}
    )
    assert answer.is_success, answer.text


def get(muniment: MunimentServer, what: str, **params: Any) -> httpx.Response:
    return muniment.http.get(f"/api/v1/logs/default/{what}", params=params)


def known(muniment: MunimentServer, what: str, **params: Any) -> Any:
    def there() -> Any:
        answer = get(muniment, what, **params)
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 and not answer.json()["lag"] else None

    return wait_for(there, f"{what} of {params}")


def test_versions_of_an_object(muniment_server: MunimentServer) -> None:
    one, two = server(100), server(50)
    receipt = send(
        muniment_server,
        [
            changed(SERVER, 0, None, one, first=True),
            changed(SERVER, 10, one, two),
            changed(SERVER, 20, None, two, first=True),  # an agent that began anew
            changed(SERVER, 30, two, None),
        ],
    )

    found = known(muniment_server, "history", object=SERVER)

    assert [v["change"] for v in found["versions"]] == ["delete", "update", "observe"]
    assert [v["number"] for v in found["versions"]] == [3, 2, 1]
    update = found["versions"][1]
    assert update["fields"] == [{"path": "/weight", "before": 100, "after": 50}]
    assert (update["version"], update["previous"]) == (two.version, one.version)
    assert (update["time"], update["since"]) == ("2026-11-21T10:00:10.000Z", at(5))
    assert update["entry"] == {"shard": receipt["shard"], "index": 1}
    assert update["fault"] == ""

    for v in ("2", "previous", two.version[:6], at(29)):
        version = get(muniment_server, "version", object=SERVER, v=v).json()
        assert (version["number"], version["state"]) == (2, dict(two.state)), v
    assert get(muniment_server, "version", object=SERVER).json()["state"] is None
    for v, status in (("9", 404), ("abcdef", 404), ("2020-01-01", 404), ("x", 400)):
        assert get(muniment_server, "version", object=SERVER, v=v).status_code == status, v

    listed = known(muniment_server, "objects", prefix="haproxy:")
    assert [(o["object"], o["kind"], o["number"]) for o in listed["objects"]] == [
        (SERVER, "haproxy.server", 3)
    ]
    row = muniment_server.search(f'source:change object:"{SERVER}"')["rows"][2]
    assert row["message"] == "haproxy server web/w2: weight 100 -> 50"


def test_a_large_file_in_parts_is_compared(muniment_server: MunimentServer) -> None:
    text = "\n".join(f"backend b{n}\n    server s{n} 10.0.0.1:{n}" for n in range(1, 60_000))
    before = Snapshot({"text": text, "mode": "0644"})
    after = Snapshot({"text": text.replace(":777\n", ":778\n"), "mode": "0600"})
    ship(muniment_server, 1, changed(FILE, 0, None, before, first=True))
    ship(muniment_server, 2, changed(FILE, 10, before, after))
    known(muniment_server, "history", object=FILE)

    made = get(muniment_server, "diff", object=FILE).json()

    assert (made["from"]["number"], made["to"]["number"]) == (1, 2)
    assert made["fields"] == [{"path": "/mode", "before": "0644", "after": "0600"}]
    assert [(s["name"], s["removed"], s["added"]) for s in made["sections"]] == [
        ("backend b777", ["server s777 10.0.0.1:777"], ["server s777 10.0.0.1:778"])
    ]
    assert "-    server s777 10.0.0.1:777\n+    server s777 10.0.0.1:778\n" in made["text"]
    version = get(muniment_server, "version", object=FILE, v=1).json()
    assert (version["fault"], version["agent"], version["stream"]) == ("", "lb1", "lb1/files")
    assert (version["via"], version["sender"]) == ("capture", "local")
    assert version["state"] == orjson.loads(orjson.dumps(before.state))


INGRESS = "kubernetes:prod/ingress/default/web"


def audit(seconds: float, verb: str, user: str, *, code: int = 200, id_: str = "a-1") -> bytes:
    stamp = (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    return orjson.dumps(
        {
            "auditID": id_,
            "stage": "ResponseComplete",
            "verb": verb,
            "requestURI": "/apis/networking.k8s.io/v1/namespaces/default/ingresses/web",
            "user": {"username": user},
            "userAgent": "kubectl/v1.34.1 (linux/amd64)",
            "sourceIPs": ["203.0.113.9"],
            "objectRef": {"resource": "ingresses", "namespace": "default", "name": "web"},
            "responseStatus": {"code": code},
            "stageTimestamp": stamp.replace("+00:00", "Z"),
        }
    )


def ingress(port: int) -> Snapshot:
    return Snapshot(
        {"spec": {"rules": [{"host": "shop.example.org", "port": port}]}},
        names=["ingresses/default/web"],
        where={"backend": "default-web-80"},
    )


def request(seconds: int, status: int, server: str = "w2", trace: str = "") -> bytes:
    moment = START + timedelta(seconds=seconds)
    stamp = moment.strftime("%d/%b/%Y:%H:%M:%S.000")
    return (
        f"203.0.113.7:50312 [{stamp}] https default-web-80/{server} 0/0/1/40/41 {status} 512 - - "
        f'---- 1/1/0/0/0 0/0 "GET /checkout{trace} HTTP/1.1"'
    ).encode()


def test_who_did_it(muniment_server: MunimentServer) -> None:
    one, two = ingress(80), ingress(81)
    send(
        muniment_server,
        [
            audit(-60, "patch", "early", id_="a-0"),
            audit(8, "patch", "alice", id_="a-1"),
            audit(8.5, "get", "bob", id_="a-2"),
            audit(9, "patch", "mallory", code=403, id_="a-3"),
        ],
        "kubernetes",
    )
    by_hand = [{"action": "user.login", "actor": "root", "time": at(7), "resource": "lb1"}]
    send(muniment_server, [orjson.dumps(event) for event in by_hand], "json")
    send(
        muniment_server,
        [changed(INGRESS, 0, None, one, first=True), changed(INGRESS, 10, one, two)],
    )
    send(muniment_server, [changed(SERVER, 0, None, server(1), first=True)])
    send(muniment_server, [changed(SERVER, 10, server(1), server(2))])
    muniment_server.wait_indexed()

    made = get(muniment_server, "blame", object=INGRESS).json()

    patched, seen = made["versions"]
    assert [(e["who"], e["certain"]) for e in patched["evidence"]] == [
        ("alice", True),
        ("mallory", False),
    ]
    alice = patched["evidence"][0]
    assert (alice["where"], alice["action"], alice["request"]) == ("203.0.113.9", "patch", "a-1")
    assert "kubectl" in alice["how"]
    assert "alice from 203.0.113.9 through kubectl" in patched["conclusion"]
    assert "403" in patched["evidence"][1]["why"]
    assert seen["evidence"] == []

    nobody = get(muniment_server, "blame", object=SERVER, limit=1).json()["versions"][0]
    assert nobody["evidence"] == []
    assert (
        nobody["conclusion"] == f"no evidence of who: changed between {at(5)} and {nobody['time']}"
    )


def test_a_rise_of_errors_is_explained(muniment_server: MunimentServer) -> None:
    one, two = ingress(80), ingress(81)
    lines = [request(s, 200) for s in range(-600, 12)]
    lines += [request(s, 503 if s % 2 else 200) for s in range(12, 300)]
    answer = muniment_server.append(b"\n".join(lines), source="haproxy")
    assert answer.status_code == 201
    send(muniment_server, [audit(8, "patch", "alice")], "kubernetes")
    send(
        muniment_server,
        [changed(INGRESS, 0, None, one, first=True), changed(INGRESS, 10, one, two)],
    )
    muniment_server.wait_indexed()

    made = get(muniment_server, "explain", at=at(60), window=600).json()

    rise = made["errors"]["rise"]
    assert at(0) <= rise["start"] <= at(20)
    assert 0.4 < rise["share"] < 0.6
    assert rise["where"][0] | {"errors": 0} == {
        "frontend": "https",
        "backend": "default-web-80",
        "server": "w2",
        "status": 503,
        "errors": 0,
    }
    kinds = [item["kind"] for item in made["timeline"]]
    assert sorted(kinds) == ["act", "change", "effect", "seen"]
    update = next(item for item in made["timeline"] if "port 80 -> 81" in item["text"])
    assert update["joins"] == [{"to": "effect", "by": "backend default-web-80"}]
    act = next(item for item in made["timeline"] if item["kind"] == "act")
    assert act["joins"][0]["to"] == update["entry"]
    said = next(line for line in made["summary"] if "port 80 -> 81" in line)
    assert "alice" in said
    assert "errors rose at backend default-web-80" in said
    of_object = get(muniment_server, "explain", object=INGRESS, window=600).json()
    assert of_object["errors"]["rise"]["where"][0]["backend"] == "default-web-80"


def test_a_request_is_traced(muniment_server: MunimentServer) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    native = {"trace_id": trace, "action": "GET", "resource": "/checkout", "status": 200}
    outer = {**native, "time": at(0), "duration_ms": 100, "service": "edge", "request_id": "r-1"}
    inner = {
        **native,
        "time": at(0).replace("00Z", "00.020Z"),
        "duration_ms": 60,
        "service": "shop",
    }
    other = {"action": "charge", "time": at(0).replace("00Z", "00.050Z"), "request_id": "r-1"}
    send(muniment_server, [orjson.dumps(event) for event in (inner, other, outer)], "json")
    muniment_server.wait_indexed()

    made = get(muniment_server, f"traces/{trace}").json()

    assert [(h["name"], h["latency_ms"], h["own_ms"], h["gap_ms"]) for h in made["hops"]] == [
        ("edge", 100, 40, None),
        ("shop", 60, 60, 20),
        ("json", None, None, 30),
    ]
    answer = muniment_server.append(request(0, 200, trace=f"?{trace}"), source="haproxy")
    assert answer.status_code == 201
    muniment_server.wait_indexed()
    made = get(muniment_server, f"traces/{trace}").json()
    assert [h["name"] for h in made["hops"]] == ["edge", "https/default-web-80/w2", "shop", "json"]
    assert get(muniment_server, "traces/nothing").status_code == 404


def test_the_commands(muniment_server: MunimentServer, tmp_path: Path) -> None:
    hostile = "haproxy:lb1/server/web/*?'\"<b>%1b[31m" + "w" * 900
    one, two = server(100), server(50)
    text = Snapshot({"text": "frontend a\n  bind :80\n"})
    send(
        muniment_server,
        [
            changed(SERVER, 0, None, one, first=True),
            changed(SERVER, 10, one, two),
            changed(SERVER, 20, two, None),
            changed(FILE, 0, None, text, first=True),
            changed(hostile, 0, None, Snapshot({"\x1b[31m": "\x1b]0;x\x07\u202e"}), first=True),
            changed(hostile, 5, Snapshot({"a": 1}), Snapshot({"\x1b[31m": "\x1b]0;x\x07\u202e"})),
        ],
    )
    muniment_server.wait_indexed()

    def run(*arguments: object) -> tuple[int, str]:
        made = muniment(*arguments, "--url", muniment_server.url, cwd=tmp_path)
        assert "Traceback" not in made[1]
        assert not set(made[1]) & {"\x1b", "\x07", "\u202e"}
        return made

    status, said = run("objects", "haproxy:lb1/server/")
    assert status == 0
    assert f"{SERVER}@3  delete" in said
    assert FILE not in said
    status, said = run("history", SERVER)
    assert "weight: 100 -> 50" in said
    status, said = run("history", SERVER, "--json", "--limit", 2)
    assert [orjson.loads(line)["number"] for line in said.splitlines() if line[0] == "{"] == [3, 2]
    assert run("show", SERVER)[0] == 1
    status, said = run("show", f"{SERVER}@previous")
    assert (status, orjson.loads(said[: said.rindex("}") + 1])) == (0, dict(two.state))
    status, said = run("show", f"{FILE}@1")
    assert (status, said.startswith("frontend a\n  bind :80\n")) == (0, True)
    status, said = run("diff", SERVER, "1", two.version[:8])
    assert (status, "weight: 100 -> 50" in said) == (0, True)
    assert run("diff", SERVER, "1", "2", "--exit-code")[0] == 1
    assert run("diff", SERVER, "1", "1", "--exit-code")[0] == 0
    status, said = run("blame", SERVER, "--limit", 1)
    assert (status, "no evidence of who: changed between" in said) == (0, True)
    status, said = run("explain", SERVER, "--window", "10m")
    assert (status, "errors did not rise" in said) == (0, True)
    for command in ("history", "show", "diff", "blame", "explain"):
        assert run(command, hostile)[0] == 0, command
        assert run(command, "haproxy:lb1/server/web/*")[0] == 2, command
    assert run("trace", "x/../y")[0] == 2
    assert run("explain", "yesterday")[0] == 2
    assert run("show", f"{SERVER}@7")[0] == 2
