"""The fields of one of Envoy's access log entries, under the names of a flat access log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from muniment.event import ocsf
from muniment.event.envoy_names import CIPHERS, FLAGS, HARMLESS, HTTP_VERSIONS, TLS_VERSIONS
from muniment.event.objects import Object, as_int, as_text

_ACTIVITIES = {
    "TcpUpstreamConnected": ocsf.OPEN,
    "UdpTunnelUpstreamConnected": ocsf.OPEN,
    "TcpConnectionEnd": ocsf.CLOSE,
    "UdpSessionEnd": ocsf.CLOSE,
}
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s\Z", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

HTTP, TCP, NODE = "http", "tcp", "node"


@dataclass(slots=True)
class Fields:
    """One entry: `flat` as `muniment.event.access` names fields, and what is not an access log's.

    `kind` is HTTP, TCP, or NODE for a message that only says which Envoy the stream is of.
    `activity` and `outcome` are those of Network Activity.
    """

    kind: str
    node: str | None
    flat: dict[str, Any] = field(default_factory=dict)
    trace: str | None = None
    activity: int = ocsf.TRAFFIC
    outcome: int = ocsf.SUCCESS


def fields_of(message: Object | str) -> Fields | None:
    """The fields of the one entry in a message; None where there is none."""
    if isinstance(message, str):
        return None
    identifier = _member(message, "identifier")
    for name in ("httpLogs", "tcpLogs"):
        entries = _member(message, name).get("logEntry")
        if isinstance(entries, list) and entries and isinstance(entries[0], dict):
            kind = HTTP if name == "httpLogs" else TCP
            return _Reader(kind, identifier, entries[0], len(entries)).read()
    if not identifier:
        return None
    node = _node(identifier)
    unmapped = orjson.dumps({"identifier": identifier}).decode()
    message = f"the access log stream of {node or 'an Envoy'}"
    return Fields(NODE, node, {"message": message, "unmapped": unmapped})


def _node(identifier: Object) -> str | None:
    return as_text(_member(identifier, "node").get("id")) or None


def _member(holder: Object, name: str) -> Object:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


class _Reader:
    """Takes the members of an entry that have a column; what is left becomes `unmapped`."""

    def __init__(self, kind: str, identifier: Object, entry: Object, count: int) -> None:
        self._common = dict(_member(entry, "commonProperties"))
        self._request = dict(_member(entry, "request"))
        self._response = dict(_member(entry, "response"))
        self._connection = dict(_member(entry, "connectionProperties"))
        self._entry = entry
        self._identifier = identifier
        self._count = count
        self._fields = Fields(kind, _node(identifier))

    def read(self) -> Fields:
        self._addresses()
        self._flags()
        self._times()
        self._tls()
        if self._fields.kind == HTTP:
            self._http()
        else:
            self._tcp()
        flat = self._fields.flat
        rest = self._rest()
        flat["unmapped"] = orjson.dumps(rest).decode() if rest else None
        if self._count > 1:
            flat["parse_error"] = f"the first of {self._count} log entries was read"
        self._fields.flat = {name: value for name, value in flat.items() if value is not None}
        return self._fields

    def _addresses(self) -> None:
        flat = self._fields.flat
        for key, prefix in (
            ("downstreamRemoteAddress", "client"),
            ("downstreamLocalAddress", "local"),
            ("upstreamRemoteAddress", "server"),
        ):
            address = _member(self._common, key)
            socket, pipe = _member(address, "socketAddress"), _member(address, "pipe")
            ip, path = socket.get("address"), pipe.get("path")
            if isinstance(ip, str) and ip:
                flat[f"{prefix}_ip"] = ip
                flat[f"{prefix}_port"] = _small(socket.get("portValue"))
            elif isinstance(path, str) and prefix != "local":
                flat["client_name" if prefix == "client" else "server"] = f"unix:{path}"
            else:
                continue
            del self._common[key]
        flat["backend"] = _text(self._common, "upstreamCluster")
        flat["upstream_error"] = _text(self._common, "upstreamTransportFailureReason")

    def _flags(self) -> None:
        given = _member(self._common, "responseFlags")
        known = [short for name, short in FLAGS.items() if given.get(name)]
        left = {name: value for name, value in given.items() if value is not True}
        self._common["responseFlags"] = left
        self._fields.flat["termination"] = ",".join(known) or None
        if not HARMLESS.issuperset(known):
            self._fields.outcome = ocsf.FAILURE

    def _times(self) -> None:
        flat, common = self._fields.flat, self._common
        flat["start"] = _text(common, "startTime")
        received = _nanos(common.get("timeToLastRxByte"))
        sent_up = _nanos(common.get("timeToLastUpstreamTxByte"))
        first_up = _nanos(common.get("timeToFirstUpstreamTxByte"))
        answered = _nanos(common.get("timeToFirstUpstreamRxByte"))
        done_up = _nanos(common.get("timeToLastUpstreamRxByte"))
        whole = _nanos(common.get("duration"))
        if whole is None:
            whole = _nanos(common.get("timeToLastDownstreamTxByte"))
        flat["duration"] = _milliseconds(whole)
        timings = {
            "request": _milliseconds(received),
            "response": _between(sent_up, answered),
            "upstream": _between(first_up, done_up),
        }
        if any(value is not None for value in timings.values()):
            flat["timings"] = timings
        attempts = _small(common.get("upstreamRequestAttemptCount"))
        if attempts:
            flat["load"] = {"retries": attempts - 1}
            del common["upstreamRequestAttemptCount"]

    def _tls(self) -> None:
        flat, given = self._fields.flat, dict(_member(self._common, "tlsProperties"))
        if not given:
            return
        version = as_text(given.pop("tlsVersion", None))
        flat["tls_version"] = TLS_VERSIONS.get(version or "", version)
        suite = as_int(given.pop("tlsCipherSuite", None))
        if suite is not None:
            flat["tls_cipher"] = CIPHERS.get(suite, f"0x{suite:04X}")
        flat["tls_sni"] = _text(given, "tlsSniHostname")
        peer = dict(_member(given, "peerCertificateProperties"))
        if peer:
            flat["tls_subject"] = _text(peer, "subject")
            flat["tls_issuer"] = _text(peer, "issuer")
            given["peerCertificateProperties"] = peer
        self._common["tlsProperties"] = {name: value for name, value in given.items() if value}

    def _http(self) -> None:
        flat, request, response = self._fields.flat, self._request, self._response
        version = as_text(self._entry.get("protocolVersion"))
        flat["version"] = HTTP_VERSIONS.get(version or "", version)
        for name, key in (
            ("method", "requestMethod"),
            ("scheme", "scheme"),
            ("authority", "authority"),
            ("url_string", "path"),
            ("agent", "userAgent"),
            ("referrer", "referer"),
            ("forwarded", "forwardedFor"),
            ("request_id", "requestId"),
        ):
            flat[name] = _text(request, key)
        line = [flat["method"], flat["url_string"], flat["version"] and f"HTTP/{flat['version']}"]
        flat["message"] = " ".join(one for one in line if one) or None
        flat["port"] = _small(request.pop("port", None))
        body = flat["request_body"] = _count(request, "requestBodyBytes")
        flat["request_length"] = _sum(_count(request, "requestHeadersBytes"), body)
        answer = flat["response_body"] = _count(response, "responseBodyBytes")
        flat["response_length"] = _sum(_count(response, "responseHeadersBytes"), answer)
        self._wire(flat["response_length"], flat["request_length"])
        code = as_int(response.pop("responseCode", None))
        # Without an answer there is no code; a flag says that this is the end of it.
        failed = "0" if self._fields.outcome == ocsf.FAILURE else None
        flat["status"] = failed if code is None else str(code)
        flat["content_type"] = as_text(_member(response, "responseHeaders").get("content-type"))
        self._detail(_text(response, "responseCodeDetails"))
        parent = _member(request, "requestHeaders").get("traceparent")
        match = _TRACEPARENT.match(parent) if isinstance(parent, str) else None
        self._fields.trace = match[1] if match else None

    def _tcp(self) -> None:
        to = self._fields.flat.get("tls_sni") or self._fields.flat.get("backend")
        self._fields.flat["message"] = f"TCP to {to}" if to else "TCP"
        self._fields.flat["bytes_in"] = _count(self._connection, "sentBytes")
        self._fields.flat["bytes_out"] = _count(self._connection, "receivedBytes")
        kind = as_text(self._common.get("accessLogType")) or ""
        self._fields.activity = _ACTIVITIES.get(kind, ocsf.TRAFFIC)
        if "UF" in (self._fields.flat.get("termination") or "").split(","):
            self._fields.activity = ocsf.FAIL
        self._detail(None)

    def _wire(self, answer: int | None, request: int | None) -> None:
        """Bytes on the wire, where this Envoy counts them."""
        sent = _count(self._common, "downstreamWireBytesSent")
        received = _count(self._common, "downstreamWireBytesReceived")
        self._fields.flat["bytes_in"] = sent or answer
        self._fields.flat["bytes_out"] = received or request

    def _detail(self, code: str | None) -> None:
        given = [
            code,
            _text(self._common, "connectionTerminationDetails"),
            _text(self._common, "downstreamTransportFailureReason"),
        ]
        self._fields.flat["status_detail"] = ", ".join(one for one in given if one) or None

    def _rest(self) -> Object:
        rest = {name: value for name, value in self._common.items() if value not in ({}, "")}
        for name, given in (
            ("request", self._request),
            ("response", self._response),
            ("connection", self._connection),
            ("identifier", self._identifier),
        ):
            left = {key: value for key, value in given.items() if value not in (None, {}, "")}
            if left:
                rest[name] = left
        return rest


def _text(holder: Object, name: str) -> str | None:
    """Takes a text out of an object; null for none or an empty one."""
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        return None
    del holder[name]
    return value


def _count(holder: Object, name: str) -> int | None:
    """Takes a count out of an object. A count that is not there is zero; one that is none stays."""
    number = as_int(holder.get(name, 0))
    if number is not None:
        holder.pop(name, None)
    return number


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _small(value: Any) -> int | None:
    number = as_int(value)
    return number if number is not None and 0 <= number < 2**31 else None


def _nanos(value: Any) -> int | None:
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    nanos = int(match[2]) * 10**9 + int((match[3] or "").ljust(9, "0"))
    return -nanos if match[1] else nanos


def _between(start: int | None, end: int | None) -> int | None:
    if start is None or end is None or end < start:
        return None
    return _milliseconds(end - start)


def _milliseconds(nanos: int | None) -> int | None:
    return None if nanos is None or nanos < 0 else round(nanos / 1_000_000)
