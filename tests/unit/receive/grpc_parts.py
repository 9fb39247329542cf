"""What the gRPC tests stand on: a running server, an ordinary client, one that says anything."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import grpc
import uvloop
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from receive_parts import MemoryLog, SteppingClock

from muniment.access import Guard, Tokens
from muniment.receive.grpc.server import GrpcServer
from muniment.receive.sockets import bind
from muniment.receive.target import Target
from muniment.settings import Address

EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
STREAM = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"


class Bench:
    """A gRPC server on a free port, its log, its tokens and its clock."""

    def __init__(self, directory: Path, *, required: bool = False, **options: Any) -> None:
        self.log, self.clock = MemoryLog(), SteppingClock()
        self.tokens = Tokens.open(directory / "tokens.json")
        self.logs: list[str] = []
        target = Target("default", cast(Any, {"00000000": self.log}))

        def find(name: str) -> Target:
            self.logs.append(name)
            return target

        listener = bind(Address("127.0.0.1", 0), socket.SOCK_STREAM)
        self.port = listener.getsockname()[1]
        self.server = GrpcServer(
            listener,
            find,
            Guard(self.tokens, required=required),
            self.clock,
            node="test-node",
            log="default",
            **options,
        )

    @property
    def counts(self) -> dict[tuple[str, str], float]:
        """All numbers, by receiver and name."""
        return {(count.receiver, count.name): count.value() for count in self.server.counts}

    async def export(self, message: bytes, **options: Any) -> bytes:
        """One unary call by the client of the gRPC project. Raises grpc.RpcError."""
        return await asyncio.to_thread(self._call, EXPORT, message, options)

    async def call(self, path: str, message: bytes, **options: Any) -> bytes:
        """As `export`, to any method."""
        return await asyncio.to_thread(self._call, path, message, options)

    async def stream(self, messages: Iterable[bytes], **options: Any) -> bytes:
        """One streaming call."""
        return await asyncio.to_thread(self._stream, messages, options)

    def _call(self, path: str, message: bytes, options: dict[str, Any]) -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            return cast(bytes, channel.unary_unary(path)(message, timeout=60, **options))

    def _stream(self, messages: Iterable[bytes], options: dict[str, Any]) -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            return cast(bytes, channel.stream_unary(STREAM)(iter(messages), timeout=60, **options))


class Raw:
    """A client that speaks HTTP/2 as a test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.seen: list[events.Event] = []
        self.h2.initiate_connection()

    @classmethod
    async def connect(cls, bench: Bench) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", bench.port))

    def open(self, path: str = EXPORT, *more: tuple[str, str], **replaced: str) -> int:
        """Begins a call; `replaced` are other values of the usual fields."""
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "muniment"}
        fields |= {"content-type": "application/grpc", "te": "trailers"}
        fields |= {name.replace("_", "-"): value for name, value in replaced.items()}
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, [*fields.items(), *more])
        return stream_id

    async def send(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Sends data as far as the windows allow, and waits for the rest of them."""
        position = 0
        while position < len(data) or (end and not data):
            room = min(
                self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size
            )
            piece = data[position : position + room]
            if piece or not data:
                position += len(piece)
                last = end and position == len(data)
                self.h2.send_data(stream_id, piece, end_stream=last)
                await self.flush()
                if not data:
                    return
            else:
                await self.read()

    async def flush(self) -> None:
        """Sends what HTTP/2 has to say."""
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def read(self) -> Sequence[events.Event]:
        """Reads once; returns what happened, nothing at the end of the connection."""
        await self.flush()
        data = await self.reader.read(1 << 16)
        found = self.h2.receive_data(data) if data else []
        for event in found:
            if isinstance(event, events.DataReceived):
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
        self.seen += found
        await self.flush()
        return found

    async def status(self, stream_id: int) -> dict[str, str]:
        """Reads until a call has ended; returns all its header fields."""
        fields: dict[str, str] = {}
        looked = 0
        async with asyncio.timeout(20):
            while True:
                while looked < len(self.seen):
                    event = self.seen[looked]
                    looked += 1
                    if getattr(event, "stream_id", None) != stream_id:
                        continue
                    if isinstance(event, events.ResponseReceived | events.TrailersReceived):
                        fields |= {k.decode(): v.decode() for k, v in event.headers or ()}
                    if isinstance(event, events.StreamEnded | events.StreamReset):
                        return fields
                if not await self.read() and self.reader.at_eof():
                    return fields

    async def closed(self) -> None:
        """Reads until the server has closed the connection."""
        with suppress(ConnectionError):
            async with asyncio.timeout(20):
                while not self.reader.at_eof():
                    await self.reader.read(1 << 16)

    def close(self) -> None:
        """Closes the connection."""
        self.writer.close()


def framed(message: bytes, flag: int = 0) -> bytes:
    """A message as it stands in a call's data."""
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


def request(*bodies: str) -> bytes:
    """An ExportLogsServiceRequest with one record for each body."""
    found = ExportLogsServiceRequest()
    scope = found.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add().body.string_value = body
    return cast(bytes, found.SerializeToString())


def bodies(bench: Bench) -> list[str]:
    """The bodies of all OTLP entries, each an ExportLogsServiceRequest of one record."""
    found = []
    for header, raw in bench.log.split():
        if header["via"] != "otlp-grpc":
            continue
        (resource,) = ExportLogsServiceRequest.FromString(raw).resource_logs
        (scope,) = resource.scope_logs
        (record,) = scope.log_records
        found.append(record.body.string_value)
    return found


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Bench]:
    """A server that runs; all that was held is released at the end."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), **options)
        await bench.server.start()
        try:
            yield bench
        finally:
            bench.log.refusal = None
            bench.log.release()
            await bench.server.stop()
        assert bench.server.memory.held == 0


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs a scenario on both event loops: the standard one, and the one that serves."""
    asyncio.run(scenario())  # type: ignore[arg-type]
    uvloop.run(scenario())  # type: ignore[arg-type]
