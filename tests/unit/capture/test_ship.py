"""Shipping: until it is acknowledged, to whichever endpoint takes it, and never hammering one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from threading import Thread

import httpx
import pytest
from capture_parts import SteppingClock

from muniment.capture.endpoint import MAX_RETRY_AFTER, Endpoint, NotTaken
from muniment.capture.settings import AgentSettings
from muniment.capture.ship import SAME_TRIES, Shipper
from muniment.capture.spool.spool import Spool
from muniment.log.disk import PosixDisk

Answer = Callable[[httpx.Request], httpx.Response]


def taken(count: int = 1, status: int = 201) -> httpx.Response:
    """An acknowledgement."""
    return httpx.Response(status, json={"count": count, "receipt": "r", "shard": "s"})


class Server:
    """Answers as a script says, then takes everything."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.script, self.seen = list(script), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return taken()


class QuickShipper(Shipper):
    """Does not wait; keeps how long it would have."""

    waited: list[float]

    def _pause(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return False


def settings(directory: Path, **more: object) -> AgentSettings:
    given = {"name": "lb1", "endpoints": ["http://one"], "state": directory, "log": "edge"}
    return AgentSettings.model_validate({**given, **more})


def ship(
    directory: Path, *servers: Server, records: int = 1
) -> tuple[QuickShipper, list[tuple[str, dict[str, object]]]]:
    """Ships some parcels of one record to these servers."""
    notes: list[tuple[str, dict[str, object]]] = []
    spool = Spool(directory / "spool", "lb1", PosixDisk(), limit=8 << 20)
    for number in range(records):
        spool.put("access", "text", [b"%d" % number])
    endpoints = [
        Endpoint(f"http://server{n}", settings(directory), httpx.MockTransport(server))
        for n, server in enumerate(servers)
    ]
    shipper = QuickShipper(
        spool.outgoing,
        endpoints,
        lambda action, **fields: notes.append((action, fields)),
        SteppingClock(),
        Random(1),
    )
    shipper.waited = []
    shipper.end(1e9)
    shipper.run()
    assert shipper.sent == records
    assert spool.held == 0
    spool.close()
    return shipper, notes


def test_a_parcel_is_sent_as_it_stands_in_the_spool(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    server = Server()
    chosen = settings(tmp_path, token_file=tmp_path / "token")
    endpoint = Endpoint("http://one/prefix", chosen, httpx.MockTransport(server))
    endpoint.post(b"zstd", 1)
    (request,) = server.seen
    assert str(request.url) == "http://one/prefix/in/edge/capture"
    assert request.headers["content-type"] == "application/vnd.muniment.parcel"
    assert request.headers["content-encoding"] == "zstd"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.content == b"zstd"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>welcome</html>"),
        httpx.Response(201, json={"count": 2, "receipt": "r"}),
        httpx.Response(201, json={"count": 1}),
        httpx.Response(200, json=[1]),
    ],
)
def test_only_an_acknowledgement_is_one(tmp_path: Path, answer: httpx.Response) -> None:
    endpoint = Endpoint("http://one", settings(tmp_path), httpx.MockTransport(Server(answer)))
    with pytest.raises(NotTaken, match="no acknowledgement"):
        endpoint.post(b"x", 1)


def test_the_same_parcel_is_sent_until_it_is_taken(tmp_path: Path) -> None:
    server = Server(
        httpx.Response(503, headers={"retry-after": "7"}, json={"detail": "starting"}),
        httpx.ReadTimeout("slow"),
        httpx.Response(201, text="cut off"),
    )
    shipper, notes = ship(tmp_path, server, records=2)
    assert [r.content for r in server.seen[:4]] == [server.seen[0].content] * 4
    assert len(server.seen) == 5
    assert shipper.waited[0] == 7
    assert [action for action, _ in notes] == ["capture.endpoint_lost", "capture.endpoint_back"]
    assert notes[0][1]["endpoint"] == "http://server0"
    assert "starting" in str(notes[0][1]["detail"])


def test_one_that_cannot_be_reached_is_passed_over_at_once(tmp_path: Path) -> None:
    down = Server(*[httpx.ConnectError("refused")] * 3)
    up = Server()
    shipper, _ = ship(tmp_path, down, up, records=3)
    assert len(down.seen) == 1
    assert len(up.seen) == 3
    assert shipper.waited == []
    assert shipper.endpoint == "http://server1"


def test_one_that_gave_no_answer_is_asked_again_before_another(tmp_path: Path) -> None:
    silent = Server(*[httpx.ReadTimeout("slow")] * 100)
    other = Server()
    ship(tmp_path, silent, other)
    assert len(silent.seen) == SAME_TRIES + 1
    assert len(other.seen) == 1
    assert other.seen[0].content == silent.seen[0].content


def test_pauses_grow_to_a_bound_with_jitter(tmp_path: Path) -> None:
    down = Server(*[httpx.ConnectError("refused")] * 20)
    shipper, notes = ship(tmp_path, down)
    assert len(shipper.waited) == 20
    assert 0.1 <= shipper.waited[0] <= 0.2
    assert all(15 <= pause <= 30 for pause in shipper.waited[10:])
    assert len(set(shipper.waited)) == 20
    assert len(notes) == 2, "it is told once that it is gone, and once that it is back"


def test_what_is_refused_is_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    server = Server(*[httpx.Response(403, json={"detail": "may not write"})] * 3)
    _, notes = ship(tmp_path, server)
    assert [action for action, _ in notes] == ["capture.endpoint_refuses", "capture.endpoint_back"]
    assert "may not write" in str(notes[0][1]["detail"])


def test_a_renewed_token_is_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    def answer(request: httpx.Request) -> httpx.Response:
        good = request.headers["authorization"] == "Bearer new"
        return taken() if good else httpx.Response(401, json={"detail": "no"})

    endpoint = Endpoint(
        "http://one", settings(tmp_path, token_file=token), httpx.MockTransport(answer)
    )
    with pytest.raises(NotTaken):
        endpoint.post(b"x", 1)
    token.write_text("new")
    endpoint.post(b"x", 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(400, json={"detail": "a parcel begins with a line of JSON"}), ""),
        (httpx.Response(401, json={"detail": "a token is needed"}), "401"),
        (httpx.Response(404, json={"detail": "no log 'edge'"}), "no log 'edge'"),
        (httpx.Response(200, text="hello"), "200"),
        (httpx.ConnectError("refused"), "cannot be reached"),
    ],
)
def test_an_endpoint_can_be_checked(
    tmp_path: Path, answer: httpx.Response | Exception, said: str
) -> None:
    endpoint = Endpoint("http://one", settings(tmp_path), httpx.MockTransport(Server(answer)))
    found = endpoint.check()
    assert said in found
    assert bool(found) == bool(said)


def test_it_ends_in_time_though_nobody_takes_anything(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", "lb1", PosixDisk(), limit=8 << 20)
    spool.put("access", "text", [b"x"])
    down = Server(*[httpx.ConnectError("refused")] * 1_000)
    from muniment.clock import SystemClock

    endpoint = Endpoint("http://one", settings(tmp_path), httpx.MockTransport(down))
    shipper = Shipper(spool.outgoing, [endpoint], lambda *_, **__: None, SystemClock(), Random(1))
    thread = Thread(target=shipper.run, daemon=True)
    thread.start()
    shipper.end(0.3)
    thread.join(20)
    assert not thread.is_alive()
    assert spool.held > 0
    spool.close()


@pytest.mark.parametrize(
    "after", ["", "x", "²", "9" * 40, "Wed, 21 Oct 99999999999 07:28:00 GMT", "Wed, 21 Oct 2099"]
)
def test_any_retry_after_is_bounded(tmp_path: Path, after: str) -> None:
    answer = httpx.Response(429, headers=[(b"retry-after", after.encode())])
    shipper, _ = ship(tmp_path, Server(answer))
    assert all(0 <= seconds <= MAX_RETRY_AFTER for seconds in shipper.waited)


class Endless(httpx.SyncByteStream):
    """An answer that comes byte by byte, and does not end."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b" "


def test_an_answer_that_does_not_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = count()
    monkeypatch.setattr("muniment.capture.endpoint.monotonic", lambda: float(next(seconds)))
    server = Server(httpx.Response(201, stream=Endless()))
    endpoint = Endpoint("http://one", settings(tmp_path), httpx.MockTransport(server))
    with pytest.raises(NotTaken, match="does not end") as raised:
        endpoint.post(b"parcel", 1)
    assert raised.value.sent
    assert next(seconds) < 40, "after the 30 seconds of `timeout`"
