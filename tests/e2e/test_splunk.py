"""Splunk's HTTP Event Collector with clients from PyPI, with and without acknowledgements."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from muniment.trust.directory import verify_directory

from .harness.memory import MIB, watching
from .harness.posting import send_through_kills
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

splunk_hec = pytest.importorskip("splunk_hec", reason="splunk-hec-ftf is not installed")
splunk_handler = pytest.importorskip("splunk_handler", reason="splunk-handler is not installed")

EVENT, RAW, ACK, HEALTH = (
    f"/services/collector/{name}" for name in ("event", "raw", "ack", "health")
)
CHANNEL = "FE0ECFAD-13D5-401B-847D-77833BD77131"
ON_CHANNEL = {"X-Splunk-Request-Channel": CHANNEL}
MOST_RESIDENT = 400 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MunimentServer]:
    with serving(tmp_path_factory.mktemp("splunk")) as one:
        yield one


def kept(entries: Iterable[bytes]) -> list[tuple[dict[str, Any], bytes]]:
    """The entries that came over this protocol."""
    found = [split_entry(entry) for entry in entries]
    headers = [(json.loads(header), raw) for header, raw in found]
    return [(header, raw) for header, raw in headers if header["via"] == "splunk"]


def sender(server: MunimentServer, **more: Any) -> Any:
    """The sender of splunk-hec-ftf, as it would be set for a restart of a few seconds."""
    options = {"input_type": "json", "use_hec_tls": False, "ack_interval": 0.1}
    options |= {"logger": logging.getLogger("hec"), **more}
    found = splunk_hec.splunk_hec(server.admin_token, "127.0.0.1", server.port, **options)
    found.ack_interval = 0.1  # it rounds down to whole seconds
    return found


def post(server: MunimentServer, body: bytes, path: str = EVENT, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.http.post(path, content=body, headers=named)


def test_events_are_kept_as_they_stand_in_the_body(server: MunimentServer) -> None:
    first = server.shard()["size"]
    events = [
        b'{"event":"a \xe2\x82\xac","time":1.50}',
        b'{ "event" : {"n":[1]} }',
        b'{"event":"}{"}',
    ]
    answer = post(server, b"".join(events))
    assert (answer.status_code, answer.json()) == (200, {"text": "Success", "code": 0})
    found = kept(server.stored(first))
    assert [raw for _, raw in found] == events
    assert {header["as"] for header, _ in found} == {"splunk"}


def test_lines_are_kept_with_what_is_said_of_them(server: MunimentServer) -> None:
    first = server.shard()["size"]
    query = "?host=edge1&sourcetype=access&source=/var/log/x&as=nginx"
    answer = post(server, b"one\r\n{}\ntwo", RAW + query, **ON_CHANNEL)
    assert answer.json()["code"] == 0
    found = kept(server.stored(first))
    assert [raw for _, raw in found] == [b"one\r", b"{}", b"two"]
    header = found[0][0]
    assert header["as"] == "nginx"
    about = {"host": "edge1", "source": "/var/log/x", "sourcetype": "access", "channel": CHANNEL}
    assert header["about"] == about


def test_an_id_is_good_for_ever_and_only_if_it_was_given(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        answer = post(server, b'{"event":1}{"event":2}', **ON_CHANNEL).json()
        given = answer["ackId"]
        asked = json.dumps({"acks": [given, 0, 1, given + 1]}).encode()
        expected = {str(given): True, "0": False, "1": False, str(given + 1): False}
        assert post(server, asked, ACK, **ON_CHANNEL).json() == {"acks": expected}
        server.kill()
        server.start()
        assert post(server, asked, ACK, **ON_CHANNEL).json() == {"acks": expected}


def test_the_sender_that_asks_for_acknowledgements(server: MunimentServer) -> None:
    first = server.shard()["size"]
    for kind in ("json", "raw"):
        hec = sender(server, input_type=kind, use_ack=True)
        for number in range(50):
            hec.send_event({"event": f"{kind} {number}"} if kind == "json" else f"raw {number}")
        assert hec.force_flush_events() is True
    found = kept(server.stored(first))
    events = [json.loads(raw)["event"] for header, raw in found if header["as"] == "splunk"]
    assert events == [f"json {number}" for number in range(50)]
    assert [raw for header, raw in found if header["as"] == "text"][-1] == b"raw 49"


def test_the_sender_that_takes_out_what_is_wrong(server: MunimentServer) -> None:
    """It leaves out the event that the answer names, and sends all others again."""
    first = server.shard()["size"]
    hec = sender(server)
    for event in ({"event": "good"}, {"event": ""}, {"message": "no event"}, {"event": "end"}):
        hec.send_event(event)
    assert hec.force_flush_events() is True
    assert [json.loads(raw)["event"] for _, raw in kept(server.stored(first))] == ["good", "end"]


def test_the_logging_handler(server: MunimentServer) -> None:
    first = server.shard()["size"]
    handler = splunk_handler.SplunkHandler(
        "127.0.0.1",
        server.port,
        server.admin_token,
        "main",
        protocol="http",
        verify=False,
        flush_interval=0.1,
    )
    logger = logging.getLogger("edge")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        for number in range(1_000):
            logger.error("GET /healthz 200")
            assert number < 1_000
        handler.force_flush()
        wait_for(lambda: server.shard()["size"] >= first + 1_000, "a thousand entries")
    finally:
        logger.removeHandler(handler)
        handler.close()
    events = [json.loads(raw)["event"] for _, raw in kept(server.stored(first))]
    assert Counter(events) == {"GET /healthz 200": 1_000}


def test_events_are_found(server: MunimentServer) -> None:
    event = {"time": 1_795_258_800.5, "host": "edge7", "source": "s", "event": "found me"}
    assert post(server, json.dumps(event).encode()).status_code == 200
    server.wait_indexed()
    (row,) = server.rows('"found me"')
    assert row["message"] == "found me"
    assert row["time"] == 1_795_258_800_500


def test_probes(server: MunimentServer) -> None:
    for path in (HEALTH, HEALTH + "/1.0"):
        answer = server.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (200, 17)
    assert server.http.options(EVENT + "/1.0").status_code == 200


def test_refusals_have_splunks_codes(server: MunimentServer) -> None:
    before = server.shard()["size"]
    cases = [
        (post(server, b""), 400, 5),
        (post(server, b"GET / HTTP/1.1"), 400, 6),
        (post(server, b'{"event":1}{"x":1}'), 400, 12),
        (post(server, b'{"event":""}'), 400, 13),
        (post(server, b"line", RAW), 400, 10),
        (post(server, b"line", RAW + "?channel=x"), 400, 11),
        (post(server, b"{}", ACK, **ON_CHANNEL), 400, 6),
        (post(server, b"x", Authorization="Splunk wrong"), 403, 4),
        (post(server, b"x", Authorization="Digest wrong"), 401, 3),
        (post(server, b"x", Content_Encoding="br"), 415, 6),
        (post(server, b"x", "/in/nowhere" + EVENT), 404, 404),
    ]
    for answer, status, code in cases:
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert server.shard()["size"] == before


def test_a_token_is_taken_in_each_form(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = f'[[receive]]\nprotocol = "splunk"\nlisten = "127.0.0.1:{port}"\nlog = "default"\n'
    with serving(tmp_path, config=config) as server:
        url, token = f"http://127.0.0.1:{port}", server.admin_token
        shown = [
            {"headers": {"Authorization": f"Splunk {token}"}},
            {"auth": ("x", token)},
        ]
        for one in shown:
            answer = server.http.post(url + EVENT, content=b'{"event":1}', **one)
            assert answer.json() == {"text": "Success", "code": 0}
        wrong = {"Authorization": "Splunk wrong"}
        answer = server.http.post(url + EVENT, content=b'{"event":1}', headers=wrong)
        assert (answer.status_code, answer.json()["code"]) == (403, 4)
        assert server.http.get(url + HEALTH).status_code == 200
        assert len(kept(server.stored())) == 2


def test_hostile_senders_cost_no_more_than_their_bounds(server: MunimentServer) -> None:
    before = server.shard()["size"]
    with watching(server.process.pid) as watch, slow_sender(server.port):
        assert post(server, b'{"event":"' + b"x" * 100 * MIB).status_code == 413
        bomb = gzip.compress(bytes(300 * MIB))
        assert post(server, bomb, Content_Encoding="gzip").status_code == 413
        for body in (
            b"\x00\xff" * MIB,
            b'{"event":' + b"[" * 10 * MIB,
            b'{"event":"' + b"\\ud83d" * 5 * MIB,
            b"[" + b"{}," * 4 * MIB,
        ):
            assert post(server, body).status_code in (400, 413, 503)
        assert post(server, b"\n" * 30 * MIB, RAW, **ON_CHANNEL).status_code in (413, 503)
        assert server.shard()["size"] == before
        assert post(server, b'{"event":"others go on"}').status_code == 200
    assert watch.peak < MOST_RESIDENT, watch


@contextlib.contextmanager
def slow_sender(port: int) -> Iterator[None]:
    """A request whose body begins and does not go on."""
    with socket.create_connection(("127.0.0.1", port), 10) as slow:
        slow.sendall(f"POST {EVENT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
        yield


class Shipper(threading.Thread):
    """Sends numbered events in small batches with splunk-hec-ftf.

    It tries again by itself; what it gives up comes back on its backup queue, and is sent again.
    """

    def __init__(self, server: MunimentServer, name: str, *, use_ack: bool) -> None:
        super().__init__(daemon=True)
        self._given_up: queue.Queue[str] = queue.Queue()
        self._hec = sender(server, use_ack=use_ack, backup_queue=self._given_up)
        self._name = name
        self.answered = 0
        self.wrong: list[str] = []

    @property
    def done(self) -> bool:
        return not self.is_alive()

    def run(self) -> None:
        """Each batch is sent until it is answered, or acknowledged."""
        for number in range(0, 1_000, 10):
            for each in range(number, number + 10):
                self._hec.send_event({"event": {"name": self._name, "n": each}})
            while not self._hec.force_flush_events():
                time.sleep(0.1)
                while not self._given_up.empty():
                    self._hec.send_event(self._given_up.get())
            self.answered += 10


def test_kills_in_mid_stream_lose_nothing(tmp_path: Path) -> None:
    random = Random(20_261_121)
    with serving(tmp_path) as server:
        shippers = [Shipper(server, name, use_ack=name == "ack") for name in ("ack", "plain")]
        for shipper in shippers:
            shipper.start()
        send_through_kills(server, shippers, kills=4, random=random, pause=time.sleep)
        assert [s.answered for s in shippers] == [1_000, 1_000]

        found: dict[str, Counter[int]] = {"ack": Counter(), "plain": Counter()}
        for _, raw in kept(server.stored()):
            event = json.loads(raw)["event"]
            found[event["name"]][event["n"]] += 1
        for name, numbers in found.items():
            assert set(numbers) == set(range(1_000)), f"{name}: something is missing"
            print(f"\n{name}: {sum(numbers.values()) - 1_000} events are there twice")
            assert sum(numbers.values()) <= 1_000 + 4 * 10, "at most the batch under way at a kill"
        server.stop()
        report = verify_directory(server.data)
        assert report.intact, "\n".join(map(str, report.findings))
