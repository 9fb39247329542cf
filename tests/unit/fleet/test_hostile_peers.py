"""Peers that mean harm: answers that unpack to more than memory, redirects, names, no end."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import zstandard
from fake_clock import FakeClock
from pruned_source import MINIMUM, pruned_note

from muniment.clock import SystemClock
from muniment.errors import InputError, MunimentError
from muniment.fleet.calls import Calls, PeerFailing
from muniment.fleet.member import Member
from muniment.fleet.mirror import source
from muniment.fleet.mirror.source import Peer
from muniment.fleet.sources import Objects
from muniment.log.disk import PosixDisk
from muniment.log.note import Verifier
from muniment.settings import Connection, FleetSettings, Role
from muniment.store.local import LocalStore
from muniment.up.authority import Authority
from muniment.up.places import Identity

OWN, PEER = "https://own.example:8470", "https://n1.example:8470"
ZEROS = bytes(64 << 20)


def calls(answer: Callable[[httpx.Request], httpx.Response], **more: object) -> Calls:
    fleet = FleetSettings.model_validate({"url": OWN, "members": [PEER], **more})
    return Calls(fleet, transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
def test_an_answer_that_is_packed_is_not_unpacked(
    coding: str, pack: Callable[[bytes], bytes]
) -> None:
    asked: list[str] = []
    taken: list[int] = []
    packed = pack(ZEROS)

    def pieces() -> object:
        taken.append(len(packed))
        yield packed

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        return httpx.Response(200, content=pieces(), headers={"content-encoding": coding})  # type: ignore[arg-type]

    with pytest.raises(PeerFailing, match="packs its answer"):
        calls(answer).get(f"{PEER}/api/v1/node")
    assert (asked, taken) == (["identity"], [])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed_and_no_token_goes_along(status: int, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("mun_secret")
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(status, headers={"location": "https://evil.example/take"})

    with pytest.raises(PeerFailing, match=str(status)) as raised:
        calls(answer, token=token).get(f"{PEER}/api/v1/node")
    assert hosts == ["n1.example"]
    assert "mun_secret" not in str(raised.value)


def test_a_token_goes_to_nobody_who_only_says_that_he_is_a_member(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("mun_secret")
    shown: list[tuple[str, bool]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        shown.append((request.url.host, "authorization" in request.headers))
        return httpx.Response(200, content=b"{}")

    asking = calls(answer, token=token)
    asking.get(f"{PEER}/x")
    asking.get("https://evil.example:8470/x")
    assert shown == [("n1.example", True), ("evil.example", False)]
    with pytest.raises(PeerFailing, match="plain text"):
        asking.get("http://evil.example:8470/x")


@pytest.mark.parametrize("name", ["../x", "../../logs/a", "a/b", "%2e%2e/x"])
def test_a_name_does_not_lead_to_other_objects(name: str, tmp_path: Path) -> None:
    store = LocalStore(Connection.model_validate({"url": tmp_path.as_uri()}), "members")
    objects = Objects(store)
    member = Member(node=name, url=PEER, roles=(Role.INGEST,))
    objects.put(member)
    (key,) = [item.key for item in store.list("")]
    assert key.count("/") == 1
    assert [one.node for one in objects.look()] == [name]
    objects.remove(name)
    assert not list(store.list(""))


class Signed:
    """A node whose key has signed whatever number it likes, and that has tiles without end."""

    def __init__(self, width: int) -> None:
        self.asked, self.width = 0, width

    def get(self, url: str, *, server_name: str = "", most: int = 0) -> bytes:
        del server_name, most
        if url.endswith("/pruned"):
            return b"note"
        self.asked += 1
        if self.asked > 10:
            raise AssertionError("it asks for ever")
        return bytes(self.width)


@pytest.mark.parametrize(
    ("minimum", "width", "raised"),
    [(10**18, 8192, InputError), (MINIMUM, 0, PeerFailing), (MINIMUM, 64, PeerFailing)],
)
def test_a_beginning_that_nobody_can_hold_is_not_fetched(
    minimum: int, width: int, raised: type[MunimentError], monkeypatch: pytest.MonkeyPatch
) -> None:
    note = pruned_note()
    object.__setattr__(note, "minimum", minimum)
    monkeypatch.setattr(source, "parse_pruned", lambda *_: note)
    peer = Peer(Signed(width), PEER, FakeClock())  # type: ignore[arg-type]
    verifier: Verifier = None  # type: ignore[assignment]
    with pytest.raises(raised):
        peer.base("a", "b", verifier)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that gives each connection to `serve`, on a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    found, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(found,), daemon=True).start()

        def one(found: socket.socket) -> None:
            with found:
                try:
                    serve(found)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_head_that_drips_ends() -> None:
    def drip(found: socket.socket) -> None:
        found.recv(4096)
        found.sendall(b"HTTP/1.1 200 OK\r\nx-filler: ")
        for _ in range(6_000):
            found.sendall(b"x")
            time.sleep(0.01)

    with listening(drip) as port:
        fleet = FleetSettings.model_validate({"url": OWN, "members": [PEER]})
        asking = Calls(fleet)
        with (
            pytest.raises(PeerFailing, match=r"does not end|timed out"),
            asking.stream(f"http://127.0.0.1:{port}/", seconds=0.3),
        ):
            raise AssertionError("there is no answer")
        asking.close()


def test_a_body_may_take_longer_than_a_head() -> None:
    def slow(found: socket.socket) -> None:
        found.recv(4096)
        found.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n")
        for _ in range(35):
            time.sleep(0.1)
            found.sendall(b"x")

    with listening(slow) as port:
        fleet = FleetSettings.model_validate({"url": OWN, "members": [PEER]})
        asking = Calls(fleet)
        with asking.stream(f"http://127.0.0.1:{port}/", seconds=3.0) as answer:
            assert answer.read() == b"x" * 35
        asking.close()


@pytest.mark.parametrize(
    ("names", "asked", "taken"),
    [
        (["nodes.svc"], "nodes.svc", True),
        (["nodes.svc"], "other.svc", False),
        (["nodes.svc"], "", False),
        (["127.0.0.1"], "", True),
        (["127.0.0.1"], "nodes.svc", False),
    ],
)
def test_a_node_behind_an_address_shows_the_name_that_was_asked_for(
    names: list[str], asked: str, taken: bool, tmp_path: Path
) -> None:
    disk, clock = PosixDisk(), SystemClock()
    places = [Identity(tmp_path / f"{n}.pem", tmp_path / f"{n}.key") for n in ("ca", "node")]
    Authority.open(places[0], disk=disk, clock=clock).issue("n1", places[1], names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(places[1].certificate, places[1].key)

    def serve(found: socket.socket) -> None:
        with context.wrap_socket(found, server_side=True) as secure:
            secure.recv(4096)
            secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    with listening(serve) as port:
        given = {"url": OWN, "members": [PEER], "ca": places[0].certificate}
        asking = Calls(FleetSettings.model_validate(given))
        try:
            said = asking.get(f"https://127.0.0.1:{port}/x", server_name=asked)
        except PeerFailing as error:
            assert not taken and "certificate" in error.detail.lower()
        else:
            assert taken and said == b"{}"
        asking.close()
