"""Nodes behind a transport of httpx: their records, and the shards that they serve."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
from mirroring import LOG, NAME
from small_shard import SIGNER

from muniment.errors import NoSuchEntry
from muniment.fleet.calls import Calls
from muniment.fleet.member import Member, ShardState, State
from muniment.log.tiles import parse_tile_path
from muniment.settings import FleetSettings, Role
from muniment.store.read_only import ReadOnlyShard

OWN = "http://own.example:8470"


class FakeNodes:
    """Nodes by host; what is set on one changes its answers."""

    def __init__(self) -> None:
        self.nodes: dict[str, FakeNode] = {}
        fleet = FleetSettings(url=OWN, members=("http://n1.example:8470",))
        self.calls = Calls(fleet, transport=httpx.MockTransport(self._answer))

    def add(self, name: str, shard: ReadOnlyShard, **changes: object) -> FakeNode:
        """A node that serves one shard."""
        node = FakeNode(name, shard)
        for key, value in changes.items():
            setattr(node, key, value)
        self.nodes[f"{name}.example"] = node
        return node

    def members(self) -> list[Member]:
        """The records of all."""
        return [node.member() for node in self.nodes.values()]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        node = self.nodes[request.url.host]
        node.asked.append(request.url.path)
        if node.down:
            raise httpx.ConnectError("connection refused")
        return _streamed(node.answer(request))


def _streamed(answer: httpx.Response) -> httpx.Response:
    """An answer whose raw bytes can still be read, as over a connection."""
    if isinstance(answer.stream, httpx.ByteStream):
        return httpx.Response(
            answer.status_code, content=iter([answer.content]), headers=answer.headers
        )
    return answer


class FakeNode:
    """One of them."""

    def __init__(self, name: str, shard: ReadOnlyShard) -> None:
        self.name, self.shard = name, shard
        self.down, self.writable, self.state = False, False, State.READY
        self.verifier, self.minimum = str(SIGNER.verifier), 0
        self.residency: dict[str, str] = {}
        self.note: str | None = None
        self.pruned = ""
        self.most = 1 << 20
        self.change: Callable[[httpx.Response], httpx.Response] = lambda answer: answer
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{self.name}.example:8470"

    def member(self) -> Member:
        state = ShardState(self.shard.size, self.verifier, self.writable, self.minimum)
        return Member(
            node=self.name,
            url=self.url,
            roles=(Role.INGEST,),
            state=self.state,
            shards={LOG: {NAME: state}},
            residency=self.residency,
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == f"/tlog/{LOG}/{NAME}/checkpoint":
            note = self.note or self.shard.checkpoint()
            return httpx.Response(200, text=note) if note else httpx.Response(404)
        if path == f"/tlog/{LOG}/{NAME}/pruned":
            return httpx.Response(200, text=self.pruned) if self.pruned else httpx.Response(404)
        if path.startswith(f"/tlog/{LOG}/{NAME}/tile/"):
            return self._tile(path.partition("/tile/")[2])
        folder = f"/api/v1/logs/{LOG}/shards/{NAME}/segments"
        if path == folder:
            found = {"size": self.shard.size, "minimum": self.minimum, "segments": []}
            return httpx.Response(200, content=json.dumps(found))
        assert path.startswith(f"{folder}/"), path
        first = int(path.rpartition("/")[2])
        if first < self.minimum:
            return httpx.Response(410)
        return self.change(self._segment(first, int(request.url.params["from"])))

    def _tile(self, path: str) -> httpx.Response:
        level, _, place = path.partition("/")
        number, width = parse_tile_path(place)
        return httpx.Response(200, content=self.shard.reader.tile(int(level), number, width))

    def _segment(self, first: int, start: int) -> httpx.Response:
        raw = self.shard.raw
        try:
            segment = raw.segment(first)
        except NoSuchEntry:
            return httpx.Response(404)
        headers = {
            "muniment-segment-length": str(segment.length),
            "muniment-segment-ended": "true" if segment.ended else "false",
            "muniment-shard-size": str(self.shard.size),
        }
        content = raw.read(segment, start, self.most)
        return httpx.Response(200, content=content, headers=headers)


def broken_after(count: int) -> Callable[[httpx.Response], httpx.Response]:
    """The connection breaks after so many bytes of a body."""

    def change(answer: httpx.Response) -> httpx.Response:
        def pieces() -> Iterator[bytes]:
            yield answer.content[:count]
            raise httpx.RemoteProtocolError("peer closed connection")

        headers = {k: v for k, v in answer.headers.items() if k.startswith("muniment")}
        return httpx.Response(200, content=pieces(), headers=headers)

    return change
