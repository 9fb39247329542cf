"""Probes: what clients of log protocols ask before and between deliveries.

`GET /` of an Elasticsearch client, the health page of Splunk, Loki's `/ready`, the handshake of
CloudEvents: each is answered by a function of its protocol, at the root and under `/in/{log}`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from muniment.access import Guard
from muniment.api.context import Context
from muniment.api.doors import split_log
from muniment.api.gate import call_of
from muniment.api.problems import headers_for
from muniment.errors import AccessDenied
from muniment.receive.dialect import Dialect, Posting, Reply
from muniment.receive.dialects import cloudevents, elastic, elastic_probes, loki, splunk

Answerer = Callable[[str, Posting, bool], Reply | None]
"""Takes a method, a head, and whether the node is ready; None for what is another's request."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The probes of one protocol. Not `guarded`, everybody gets the answer: a health page."""

    dialect: Dialect
    answer: Answerer
    guarded: bool = True


def _cloudevents(method: str, posting: Posting, _ready: bool) -> Reply | None:
    if method != "OPTIONS" or not cloudevents.DIALECT.handles(posting.path):
        return None
    return cloudevents.handshake(posting.headers)


def _loki(method: str, posting: Posting, _ready: bool) -> Reply | None:
    return loki.probe(method, posting)


def _splunk(method: str, posting: Posting, ready: bool) -> Reply | None:
    return splunk.answer(method, posting.path, ready=ready)


def _elastic(method: str, posting: Posting, _ready: bool) -> Reply | None:
    accept, host = posting.header(b"accept"), posting.header(b"host") or ""
    return elastic_probes.answer(method, posting.path, posting.query, accept, host=host)


PROBES: Sequence[Probe] = (
    Probe(cloudevents.DIALECT, _cloudevents, guarded=False),
    Probe(loki.DIALECT, _loki, guarded=False),
    Probe(splunk.DIALECT, _splunk, guarded=False),
    Probe(elastic.DIALECT, _elastic),  # the last one: it answers for any `/{index}`
)


class Probes:
    """ASGI middleware: answers probes, and passes on the rest.

    `own` says of a path that it is the application's own, whatever a protocol would say there.
    """

    def __init__(
        self,
        app: ASGIApp,
        context: Context,
        guard: Guard,
        probes: Sequence[Probe],
        own: Callable[[Scope], bool],
    ) -> None:
        self._app, self._context, self._guard = app, context, guard
        self._probes, self._own = probes, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the protocol does, refusals included."""
        found = None if self._own(scope) else self._find(scope)
        if found is None:
            await self._app(scope, receive, send)
            return
        reply, headers = found
        response = Response(reply.body, reply.status, media_type=reply.media)
        for name, value in (*headers.items(), *reply.headers):
            response.headers.append(name, value)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[Reply, dict[str, str]] | None:
        _, path = split_log(scope["path"])
        posting = Posting(path, scope["query_string"], scope["headers"])
        method: str = scope.get("state", {}).get("method", scope["method"])
        for probe in self._probes:
            reply = probe.answer(method, posting, self._context.ready)
            if reply is None:
                continue
            try:
                if probe.guarded:
                    self._guard.admit(call_of(scope))
            except AccessDenied as error:
                return probe.dialect.refused(posting, error), headers_for(error)
            return reply, {}
        return None
