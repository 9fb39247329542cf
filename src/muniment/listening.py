"""From the settings of listeners to receivers, which begin and end together.

What only one kind of them needs is imported when it is used.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator, Sequence
from socket import SOCK_STREAM, socket

from pydantic import SecretStr

from muniment.access import Guard
from muniment.api import Context
from muniment.api.doors import Door
from muniment.api.listener import HttpListener
from muniment.api.probe_listener import ProbeListener
from muniment.receive import Intake, Receiver
from muniment.receive.dialect import Dialect
from muniment.receive.dialects import DIALECTS
from muniment.receive.port import Count
from muniment.receive.sockets import bind, bind_pair, bound_address
from muniment.receive.syslog import SyslogTcp, SyslogUdp
from muniment.receive.target import Target
from muniment.receive.tls import tls_context
from muniment.settings import Listener, Protocol, Settings

_logger = logging.getLogger(__name__)


class Receivers:
    """The receivers of a node: bound, started and stopped together."""

    def __init__(self) -> None:
        self._bound: list[Receiver] = []

    def open(self, settings: Settings, context: Context) -> None:
        """Binds one listener after the other, that of the probes last.

        Raises SettingsError naming the one that cannot be had; `stop` closes those before it.
        """
        for listener in settings.listeners:
            for receiver in _Maker(settings, context, listener).receivers():
                self._bound.append(receiver)
        if settings.probe_listen is not None:
            self._bound.append(ProbeListener(bind(settings.probe_listen, SOCK_STREAM), context))

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Name and address of each, with the real port."""
        return [(receiver.name, receiver.address) for receiver in self._bound]

    @property
    def counts(self) -> list[Count]:
        """The numbers of all."""
        return [count for receiver in self._bound for count in receiver.counts]

    async def start(self) -> None:
        """Begins to receive."""
        for receiver in self._bound:
            await receiver.start()

    async def stop(self) -> None:
        """Stops all at the same time. One that fails keeps neither the others nor the shards."""
        stopping = [receiver.stop() for receiver in self._bound]
        for receiver, result in zip(
            self._bound, await asyncio.gather(*stopping, return_exceptions=True), strict=True
        ):
            if isinstance(result, BaseException):
                _logger.error("%s did not stop well", receiver.name, exc_info=result)


class _Maker:
    """Makes the receivers of one listener."""

    def __init__(self, settings: Settings, context: Context, listener: Listener) -> None:
        self._settings, self._context, self._listener = settings, context, listener

    def receivers(self) -> Iterator[Receiver]:
        protocol = self._listener.protocol
        if protocol is Protocol.SYSLOG:
            yield from self._syslog()
        elif protocol is Protocol.FORWARD:
            yield self._forward()
        elif protocol is Protocol.GRPC:
            yield self._grpc()
        elif protocol is Protocol.KAFKA:
            yield self._kafka()
        else:
            yield self._http()

    @property
    def _log(self) -> str:
        return self._listener.log or self._settings.logs[0]

    def _target(self, log: str, *, can_wait: bool = True) -> Target:
        """Senders that can wait do so for the index; those that cannot would lose."""
        context = self._context
        bound = context.lag_bound if can_wait else None
        return Target(log, context.shards(log), bound)

    def _intake(self, *, can_wait: bool = True) -> Intake:
        return Intake(
            self._target(self._log, can_wait=can_wait).submit,
            node=self._settings.node,
            bound=int(self._listener.buffer),
            clock=self._context.clock,
        )

    def _tls(self, protocols: tuple[str, ...] = ()) -> ssl.SSLContext | None:
        listener = self._listener
        if listener.tls_certificate is None or listener.tls_key is None:
            return None
        certificate, key = listener.tls_certificate, listener.tls_key
        return tls_context(certificate, key, listener.tls_client_ca, protocols)

    def _guard(self) -> Guard:
        """Asks for tokens where strangers can reach the listener."""
        listener = self._listener
        loopback = listener.listen is not None and listener.listen.is_loopback
        required = self._settings.require_tokens or not (loopback or listener.anonymous)
        open_to_all = listener.anonymous or self._settings.serve_without_tls_and_tokens
        if self._settings.serve_without_tls_and_tokens:
            required = self._settings.require_tokens
        return Guard(self._context.tokens, required=required, open_to_all=open_to_all)

    def _name(self, kind: str, bound: socket) -> str:
        """What tells receivers apart in the metrics; the one that is always there needs no port."""
        if self._listener.listen is self._settings.syslog:
            return kind
        return f"{kind}:{bound_address(bound).port}"

    def _syslog(self) -> Iterator[Receiver]:
        listener, clock = self._listener, self._context.clock
        assert listener.listen is not None
        source = listener.source or "syslog"
        tls = self._tls()
        datagrams = None
        if listener.udp and tls is None:
            stream, datagrams = bind_pair(listener.listen)
        else:
            stream = bind(listener.listen, SOCK_STREAM)
        yield SyslogTcp(
            stream,
            source,
            self._intake(),
            clock,
            name=self._name("syslog-tcp" if tls is None else "syslog-tls", stream),
            tls=tls,
            proxies=listener.proxy_from,
            max_connections=listener.max_connections,
            idle_seconds=listener.idle,
        )
        if datagrams is not None:
            name = self._name("syslog-udp", datagrams)
            yield SyslogUdp(datagrams, source, self._intake(can_wait=False), clock, name=name)

    def _forward(self) -> Receiver:
        from muniment.receive.forward.receiver import Forward

        listener = self._listener
        assert listener.listen is not None
        if listener.udp:
            stream, datagrams = bind_pair(listener.listen)
        else:
            stream, datagrams = bind(listener.listen, SOCK_STREAM), None
        return Forward(
            stream,
            datagrams,
            "forward",
            listener.source or "",
            self._intake(),
            self._context.clock,
            self._settings.node,
            name=self._name(listener.protocol, stream),
            tls=self._tls(),
            proxies=listener.proxy_from,
            max_connections=listener.max_connections,
            idle_seconds=listener.idle,
            shared_key=_secret(listener.shared_key),
            users={name: word.get_secret_value() for name, word in listener.users.items()},
            hostname=listener.hostname or "",
        )

    def _grpc(self) -> Receiver:
        from muniment.receive.grpc.server import GrpcServer

        listener = self._listener
        assert listener.listen is not None
        bound = bind(listener.listen, SOCK_STREAM)
        return GrpcServer(
            bound,
            self._target,
            self._guard(),
            self._context.clock,
            node=self._settings.node,
            log=self._log,
            inner=listener.source or "",
            name=self._name(listener.protocol, bound),
            tls=self._tls(("h2",)),
            proxies=listener.proxy_from,
            max_connections=listener.max_connections,
            idle_seconds=listener.idle,
            max_message=int(self._settings.max_body),
            buffer=int(listener.buffer),
        )

    def _kafka(self) -> Receiver:
        from muniment.receive.kafka.consumer import KafkaConsumer

        listener = self._listener
        return KafkaConsumer(
            listener.brokers or "",
            listener.topics,
            listener.group,
            self._target(self._log),
            self._context.clock,
            node=self._settings.node,
            source=listener.source or "text",
            name=f"kafka:{listener.group}",
            options={key: value.get_secret_value() for key, value in listener.options.items()},
        )

    def _http(self) -> Receiver:
        listener = self._listener
        assert listener.listen is not None
        door = Door(
            self._guard(),
            self._dialects(),
            self._log,
            listener.source or "",
            native=False,
            connections=listener.max_connections,
        )
        bound = bind(listener.listen, SOCK_STREAM)
        return HttpListener(
            bound,
            self._name(listener.protocol, bound),
            self._context,
            door,
            tls=self._tls(("http/1.1",)),
            proxies=listener.proxy_from,
        )

    def _dialects(self) -> Sequence[Dialect]:
        if self._listener.protocol is Protocol.HTTP:
            return DIALECTS
        return [dialect for dialect in DIALECTS if dialect.name == self._listener.protocol]


def _secret(given: SecretStr | None) -> str | None:
    return None if given is None else given.get_secret_value()
