"""What a load balancer writes is what comes out: generated lines, and real lines cut anywhere."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muniment.event.decode import decode

HEADER = b'{"at":"2026-11-20T23:30:00.000001Z","as":"%s"}\n'

_NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_.:-", min_size=1, max_size=12)
_SMALL = st.integers(0, 10**6)
_IPV4 = st.ip_addresses(v=4).map(str)
_IPV6 = st.ip_addresses(v=6).map(str)
_PORTS = st.integers(1, 65535)
# Anything a client may send in a header or a target, as HAProxy and NGINX take it: bytes.
_HEADER = st.binary(max_size=20).filter(lambda b: b"\n" not in b and b"\r" not in b)
_TARGET = st.binary(max_size=20).map(lambda b: b"/" + b.replace(b" ", b"").replace(b"\n", b""))
_METHODS = st.sampled_from(["GET", "POST", "HEAD", "PATCH", "PROPFIND", "M-SEARCH"])
_TIMES = st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2037, 12, 31)).map(
    lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000, tzinfo=datetime.UTC)
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def shown(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def clf_date(at: datetime.datetime) -> str:
    return f"{at.day:02d}/{_MONTHS[at.month - 1]}/{at.year:04d}:{at:%H:%M:%S}"


def one(source: bytes, line: bytes) -> dict[str, Any]:
    table = decode([HEADER % source + line], log="l", shard="s", first=0)
    table.validate(full=True)
    row: dict[str, Any] = table.to_pylist()[0]
    return row


def hash_escape(raw: bytes, special: bytes) -> bytes:
    """HAProxy's lf_encode: control characters, bytes from 127 and `special` become #XX."""
    return b"".join(b"#%02X" % c if c < 32 or c >= 127 or c in special else bytes([c]) for c in raw)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_haproxy_http_lines(data: st.DataObject) -> None:
    draw = data.draw
    at, port, status = draw(_TIMES), draw(_PORTS), draw(st.integers(100, 599))
    ip = draw(st.one_of(_IPV4, _IPV6))
    frontend, backend, server = draw(_NAMES), draw(_NAMES), draw(_NAMES)
    timers = draw(st.lists(st.integers(-1, 10**6), min_size=4, max_size=4))
    active, size = draw(_SMALL), draw(st.integers(0, 10**12))
    method, target = draw(_METHODS), draw(_TARGET)
    request_captures = draw(st.none() | st.lists(_HEADER, min_size=1, max_size=3))
    response_captures = draw(st.none() | st.lists(_HEADER, min_size=1, max_size=2))
    if request_captures is None:
        response_captures = None  # One group alone is taken to be that of the request.
    loads = draw(st.lists(_SMALL, min_size=7, max_size=7))
    redispatched, early, tls = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    plus = "+" if early else ""

    def group(values: list[bytes] | None) -> bytes:
        if values is None:
            return b""
        return b"{" + b"|".join(hash_escape(v, b'"#{}|') for v in values) + b"} "

    line = (
        f"{ip}:{port} [{clf_date(at)}.{at.microsecond // 1000:03d}] {frontend}{'~' * tls} "
        f"{backend}/{server} {'/'.join(map(str, timers))}/{plus}{active} {status} {plus}{size} "
        f"- - --VN {'/'.join(map(str, loads[:4]))}/{'+' * redispatched}{loads[4]} "
        f"{loads[5]}/{loads[6]} "
    ).encode()
    line += group(request_captures) + group(response_captures)
    line += b'"' + method.encode() + b" " + hash_escape(target, b'"#') + b' HTTP/1.1"'
    row = one(b"haproxy", line)

    assert row["parse_error"] is None
    assert row["class_uid"] == 4002
    assert row["time_dt"] == at
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == (ip, port)
    assert row["load_balancer"]["name"] == frontend
    assert row["load_balancer"]["dst_endpoint"]["svc_name"] == backend
    assert row["load_balancer"]["dst_endpoint"]["name"] == server
    names = ("request", "queue", "connect", "response")
    got = row["timings"] or dict.fromkeys(names)
    assert [got[n] for n in names] == [None if t < 0 else t for t in timers]
    assert row["duration"] == active
    assert row["http_response"]["code"] == status
    assert row["traffic"]["bytes_in"] == size
    assert list(row["load"].values()) == [*loads[:5], redispatched, *loads[5:]]
    assert row["http_request"]["http_method"] == method
    assert row["http_request"]["url"]["url_string"] == shown(target)
    captures = row["captures"] or {"request": None, "response": None}
    for got_list, sent in (
        (captures["request"], request_captures),
        (captures["response"], response_captures),
    ):
        assert got_list == (None if sent is None else [shown(value) for value in sent])


@settings(max_examples=80, deadline=None)
@given(
    at=_TIMES,
    ip=st.one_of(_IPV4, _IPV6),
    port=_PORTS,
    timers=st.lists(st.integers(-1, 10**6), min_size=3, max_size=3),
    size=st.integers(0, 10**12),
    state=st.sampled_from(["--", "SC", "CD", "cD", "PR", "sQ"]),
)
def test_haproxy_tcp_lines(at, ip, port, timers, size, state) -> None:
    line = (
        f"{ip}:{port} [{clf_date(at)}.{at.microsecond // 1000:03d}] fe be/s "
        f"{'/'.join(map(str, timers))} {size} {state} 1/2/3/4/5 6/7"
    )
    row = one(b"haproxy", line.encode())
    assert row["class_uid"] == 4001
    assert row["time_dt"] == at
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == (ip, port)
    assert row["duration"] == (timers[2] if timers[2] >= 0 else None)
    assert row["traffic"]["bytes_in"] == size
    assert row["load_balancer"]["status_detail"] == state
    assert row["status_id"] == (1 if state == "--" else 2)


def backslash_escape(raw: bytes) -> bytes:
    """NGINX's default: `"`, `\\`, control characters and bytes from 127 become \\xXX."""
    return b"".join(
        b"\\x%02X" % c if c < 32 or c >= 127 or c in b'"\\' else bytes([c]) for c in raw
    )


def dashed(raw: bytes) -> bytes:
    return backslash_escape(raw) or b"-"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_nginx_lines(data: st.DataObject) -> None:
    draw = data.draw
    at, status = draw(_TIMES).replace(microsecond=0), draw(st.integers(100, 599))
    ip = draw(st.one_of(_IPV4, _IPV6))
    method, target = draw(_METHODS), draw(_TARGET)
    user, agent, referrer = draw(_HEADER), draw(_HEADER), draw(_HEADER)
    size, length, spent = draw(_SMALL), draw(_SMALL), draw(_SMALL)
    tries = draw(st.lists(st.tuples(_IPV4 | _IPV6, _PORTS, st.integers(100, 599)), max_size=3))
    full = draw(st.booleans())
    zone = draw(st.sampled_from([0, 330, -210, 60]))
    local = at.astimezone(datetime.timezone(datetime.timedelta(minutes=zone)))
    line = f"{ip} - ".encode() + dashed(user) + f" [{clf_date(local)} {local:%z}] ".encode()
    line += b'"' + method.encode() + b" " + backslash_escape(target) + b' HTTP/1.1" '
    line += f"{status} {size} ".encode() + b'"' + dashed(referrer) + b'" "' + dashed(agent) + b'"'
    if full:
        hosts = [f"[{i}]:{p}" if ":" in i else f"{i}:{p}" for i, p, _ in tries]
        lists = (hosts, ["5"] * len(tries), ["0.250"] * len(tries), [str(s) for *_, s in tries])
        joined = " ".join(", ".join(values) or "-" for values in lists)
        line += f" {length} {spent // 1000}.{spent % 1000:03d} [be] [] {joined} abc123".encode()
    row = one(b"nginx", line)

    assert row["parse_error"] is None
    assert row["time_dt"] == at
    assert row["src_endpoint"]["ip"] == ip
    assert row["http_response"]["code"] == status
    assert row["http_response"]["body_length"] == size
    assert row["http_request"]["http_method"] == method
    assert row["http_request"]["url"]["url_string"] == shown(target)
    assert row["http_request"]["user_agent"] == (None if agent in (b"", b"-") else shown(agent))
    assert row["http_request"]["referrer"] == (None if referrer in (b"", b"-") else shown(referrer))
    name = row["actor"] and row["actor"]["user"]["name"]
    assert name == (None if user in (b"", b"-") else shown(user))
    if full:
        assert row["duration"] == spent
        assert row["http_request"]["length"] == length
        assert row["http_request"]["uid"] == "abc123"
        got = row["load_balancer"]["endpoint_connections"] or []
        found = [
            (t["network_endpoint"]["ip"], t["network_endpoint"]["port"], t["code"]) for t in got
        ]
        assert found == tries
        assert row["load_balancer"]["code"] == (tries[-1][2] if tries else None)


# What stands at the very end of a format cannot be seen to be cut.
_LAST_TOKEN = {
    "tls.cipher",
    "load.backend_queue",
    "http_request.uid",
    "tls.certificate.subject",
    "status_detail",
}
# These repeat the bytes, or are the receipt's when the log's own are missing.
_NOT_COMPARED = {
    "raw_data",
    "message",
    "unmapped",
    "parse_error",
    "time",
    "time_dt",
    "type_uid",
    "category_uid",
    "index",
}
_UNKNOWN = {"class_uid": {0}, "activity_id": {0, 99}, "severity_id": {0, 1}, "status_id": {0}}


def leaves(table: pa.Table) -> dict[str, list[Any]]:
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return {name: table[name].to_pylist() for name in table.column_names}


def agrees(value: Any, right: Any) -> bool:
    """Whether a value says nothing that is not so; it may say less."""
    if value is None or value == right:
        return True
    if isinstance(value, dict):
        return isinstance(right, dict) and all(agrees(v, right[k]) for k, v in value.items())
    if isinstance(value, list) and isinstance(right, list) and len(value) == len(right):
        return all(agrees(v, r) for v, r in zip(value, right, strict=True))
    return False


def ends_in_free_text(cut: bytes) -> bool:
    """Messages have no end that could be seen to be missing; nor has NGINX's server in them."""
    return b" Server web/" in cut or (
        b", server: " in cut and b"," not in cut.split(b", server: ")[1]
    )


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("haproxy", "haproxy/udp_rfc3164_len8192.log"),
        ("haproxy", "haproxy/udp_rfc5424_len8192.log"),
        ("haproxy", "haproxy/hostile_headers/udp_rfc3164_len8192.log"),
        ("nginx", "nginx/access_upstreaminfo.log"),
        ("nginx", "nginx/access_json_escape_json.log"),
        ("nginx", "nginx/access_tls.log"),
        ("nginx", "nginx/error.log"),
        ("nginx", "nginx/syslog_access_combined.log"),
        ("ingress-nginx", "nginx/ingress_nginx.log"),
        ("traefik", "traefik/traefik_clf.log"),
        ("traefik", "traefik/traefik_json.log"),
        ("envoy", "envoy/access_text.log"),
        ("envoy", "envoy/envoy-http-crawl-non_statics.log"),
    ],
)
def test_a_real_line_cut_anywhere_never_gives_a_wrong_field(sample, source, file) -> None:
    lines = sorted({line for line in sample(file) if len(line) < 400})
    cuts = [(n, line[:end]) for n, line in enumerate(lines) for end in range(0, len(line), 3)]
    cuts = [(n, cut) for n, cut in cuts if not ends_in_free_text(cut)]
    header = HEADER % source.encode()
    whole = leaves(decode([header + line for line in lines], log="l", shard="s", first=0))
    parts = leaves(decode([header + cut for _, cut in cuts], log="l", shard="s", first=0))
    for name in parts.keys() - _NOT_COMPARED - _LAST_TOKEN:
        for (line, cut), value in zip(cuts, parts[name], strict=True):
            if not agrees(value, whole[name][line]) and value not in _UNKNOWN.get(name, ()):
                pytest.fail(f"{name} is {value!r}, not {whole[name][line]!r}, for {cut!r}")
