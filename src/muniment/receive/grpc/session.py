"""gRPC over HTTP/2 on one connection (RFC 9113): calls in, statuses out.

h2 (https://python-hyper.org) speaks HTTP/2; the framing of messages and the statuses of gRPC are
small, and stand here and in grpc_call.py and grpc_status.py. The session judges the head of each
call before any of its data is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from muniment.clock import Clock
from muniment.errors import MunimentError, TooLarge, Unavailable
from muniment.receive.grpc.call import Call, Service
from muniment.receive.grpc.frames import FrameBounds
from muniment.receive.grpc.status import OK, Code, Status
from muniment.receive.stream import Connection

MAX_CALLS = 128
"""Of one connection at the same time."""

MAX_EARLY_CALLS = 1_024
"""The same for a client that does not know our settings yet."""

STREAM_WINDOW = 64 << 10
CONNECTION_WINDOW = 512 << 10
MAX_HEAD = 16 << 10
"""Bytes of the metadata of a call, as HTTP/2 counts them."""

MAX_IDLE_FRAMES = 1_000
"""Frames one after the other without data, or calls that are reset, within IDLE_SECONDS."""

IDLE_SECONDS = 60.0
MESSAGE_SECONDS = 60.0
"""How long the rest of a message may take that has begun."""

_SLICE = 16 << 10
_CONTENT_TYPE = (b"content-type", b"application/grpc")
_TAKEN_CODINGS = (b"grpc-accept-encoding", b"identity,gzip,deflate,zstd")
_HEAD = [(b":status", b"200"), _CONTENT_TYPE, _TAKEN_CODINGS]

_logger = logging.getLogger(__name__)

Head = Mapping[bytes, bytes]


class _Http2(H2Connection):
    """HTTP/2 as a server, within bounds."""

    MAX_CLOSED_STREAMS = 1_000

    def __init__(self) -> None:
        super().__init__(H2Configuration(client_side=False, header_encoding=None))
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_EARLY_CALLS,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD,
            },
        )
        self.decoder.max_header_list_size = MAX_HEAD


class Host(Protocol):
    """What a session needs of its server."""

    clock: Clock
    stopping: bool
    garbage: int
    floods: int

    def admit(
        self, head: Head, connection: Connection, consumed: Callable[[int], None]
    ) -> tuple[Service, Call]:
        """Judges the head of a call. Raises MunimentError."""

    def refused(self, path: bytes) -> None:
        """Counts a call that ended with an error."""

    def begin(self, task: asyncio.Task[None]) -> None:
        """Keeps a running call until it is done."""

    def leave(self, session: GrpcSession) -> None:
        """Forgets a session whose connection is gone."""


class GrpcSession:
    """The calls of one connection."""

    def __init__(self, host: Host, connection: Connection) -> None:
        self._host, self._connection = host, connection
        self._calls: dict[int, Call] = {}
        self._begun: dict[int, float] = {}
        self._unsent: dict[int, bytes] = {}
        self._idle_frames = self._resets = 0
        self._looked = self._counted = host.clock.monotonic()
        self._bounds = FrameBounds()
        self._h2 = _Http2()
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CALLS})
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._flush()

    def feed(self, data: bytes) -> None:
        """Takes bytes of the connection; what is no HTTP/2 ends it."""
        for start in range(0, len(data), _SLICE):
            if self._connection.closing:
                return
            piece = data[start : start + _SLICE]
            try:
                self._bounds.check(piece)
                for event in self._h2.receive_data(piece):
                    self._handle(event)
            except (H2Error, TooLarge) as error:
                self._host.garbage += 1
                _logger.info("gRPC: %s sends what is no HTTP/2: %s", self._connection.peer, error)
                self._flush()
                self._connection.close()
                return
            self._flush()
            self.look()

    def end(self) -> None:
        """The connection is gone: what arrived whole is still taken."""
        for call in self._calls.values():
            call.abandon()
        self._unsent.clear()
        self._host.leave(self)

    def go_away(self) -> None:
        """Tells the client to make its next calls elsewhere; those under way go on."""
        frame = GoAwayFrame(0, last_stream_id=self._h2.highest_inbound_stream_id)
        self._connection.write(frame.serialize())

    def finish(self) -> None:
        """Takes what has arrived of calls that could go on for ever, and answers them."""
        for call in self._calls.values():
            call.finish()

    def _handle(self, event: events.Event) -> None:
        if isinstance(event, events.DataReceived):
            self._data(event)
            return
        self._idle_frames += 1
        if isinstance(event, events.RequestReceived):
            self._request(event)
        elif isinstance(event, events.StreamEnded):
            self._call(event.stream_id, Call.finish)
        elif isinstance(event, events.StreamReset):
            self._resets += 1
            self._call(event.stream_id, Call.abandon)
            self._unsent.pop(event.stream_id, None)
        elif isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            for stream_id in list(self._unsent):
                self._send_rest(stream_id)
        elif isinstance(event, events.ConnectionTerminated):
            self.finish()

    def _call(self, stream_id: int | None, act: Callable[[Call], None]) -> None:
        call = self._calls.get(stream_id or 0)
        if call is not None:
            act(call)

    def _data(self, event: events.DataReceived) -> None:
        flow, call = event.flow_controlled_length or 0, self._calls.get(event.stream_id or 0)
        self._idle_frames = 0 if event.data else self._idle_frames + 1
        if call is None:
            self._consumed(event.stream_id or 0, flow)
        else:
            call.feed(event.data or b"", flow)

    def _request(self, event: events.RequestReceived) -> None:
        stream_id = event.stream_id or 0
        head: dict[bytes, bytes] = {}
        for name, value in event.headers or ():
            name, value = bytes(name), bytes(value)
            head[name] = head[name] + b", " + value if name in head else value
        kind = head.get(b"content-type", b"").partition(b";")[0].strip()
        if head.get(b":method") != b"POST" or not (
            kind == b"application/grpc" or kind.startswith(b"application/grpc+")
        ):
            self._host.refused(head.get(b":path", b""))
            self._attempt(self._h2.send_headers, stream_id, [(b":status", b"415")], end_stream=True)
            self._leave(stream_id)
            return
        try:
            if self._host.stopping:
                raise Unavailable("the node is stopping")
            service, call = self._host.admit(
                head, self._connection, lambda flow: self._consumed(stream_id, flow)
            )
        except MunimentError as error:
            self._fail(stream_id, head.get(b":path", b""), Status.of(error))
            return
        self._calls[stream_id] = call
        task = asyncio.get_running_loop().create_task(self._serve(stream_id, service, call))
        self._host.begin(task)

    async def _serve(self, stream_id: int, service: Service, call: Call) -> None:
        status, answer = OK, b""
        try:
            answer = await service.serve(call)
        except MunimentError as error:
            status = Status.of(error)
        except asyncio.CancelledError:
            status = Status.of(Unavailable("the node is stopping"))
        except Exception:
            _logger.exception("a gRPC call of %s failed", call.peer)
            status = Status(Code.UNAVAILABLE, "the server failed", 2)
        call.close()
        self._end_call(stream_id, service.path, status, answer)

    def _end_call(self, stream_id: int, path: bytes, status: Status, answer: bytes) -> None:
        call = self._calls.pop(stream_id, None)
        self._begun.pop(stream_id, None)
        if call is None:
            return
        if status is not OK:
            self._fail(stream_id, path, status)
        elif not call.gone:
            self._attempt(self._h2.send_headers, stream_id, _HEAD)
            self._unsent[stream_id] = b"\0" + len(answer).to_bytes(4, "big") + answer
            self._send_rest(stream_id)
        self._flush()

    def _fail(self, stream_id: int, path: bytes, status: Status) -> None:
        """Ends a call with what is wrong, in one block of header fields."""
        self._host.refused(path)
        fields = [*_HEAD, *status.trailers]
        self._attempt(self._h2.send_headers, stream_id, fields, end_stream=True)
        self._leave(stream_id)

    def _send_rest(self, stream_id: int) -> None:
        """Sends an answer once the client's windows have room for it."""
        message = self._unsent[stream_id]
        with suppress(H2Error):
            if self._h2.local_flow_control_window(stream_id) < len(message):
                return
        del self._unsent[stream_id]
        self._attempt(self._h2.send_data, stream_id, message)
        self._attempt(self._h2.send_headers, stream_id, OK.trailers, end_stream=True)
        self._leave(stream_id)

    def _leave(self, stream_id: int) -> None:
        """The answer is given: what the client still wants to send is not wanted."""
        stream = self._h2.streams.get(stream_id)
        if stream is not None and not stream.closed:
            self._attempt(self._h2.reset_stream, stream_id, ErrorCodes.NO_ERROR)

    def _consumed(self, stream_id: int, flow: int) -> None:
        if flow:
            self._attempt(self._h2.acknowledge_received_data, flow, stream_id)
            self._flush()

    def _attempt(self, act: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Says something on a stream; nothing happens where the client has closed it."""
        with suppress(H2Error):
            act(*args, **options)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._connection.write(data)

    def look(self) -> None:
        """Ends what takes too long, and a connection that keeps the server busy with nothing."""
        if max(self._idle_frames, self._resets) > MAX_IDLE_FRAMES:
            self._host.floods += 1
            _logger.warning("gRPC: %s sends frames without data, or resets", self._connection.peer)
            with suppress(H2Error):
                self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._flush()
            self._connection.close()
            return
        now = self._host.clock.monotonic()
        if now - self._counted > IDLE_SECONDS:
            self._counted, self._idle_frames, self._resets = now, 0, 0
        if now - self._looked < 1:
            return
        self._looked = now
        slow = Status(Code.DEADLINE_EXCEEDED, "the message did not come in time")
        for stream_id, call in list(self._calls.items()):
            if not call.partial:
                self._begun.pop(stream_id, None)
            elif now - self._begun.setdefault(stream_id, now) > MESSAGE_SECONDS:
                call.abandon()
                self._end_call(stream_id, call.path, slow, b"")
