"""The columns of one event: OCSF 1.8 under its own names, plus where the entry stands in its log.

The columns cover the classes that occur at the edge: HTTP Activity 4002 and Network Activity 4001
(with the load_balancer and network_proxy profiles), API Activity 6003, Entity Management 3004,
Authentication 3002, Application Lifecycle 6002 and the Base Event 0. What has no column is JSON
text in `unmapped`. OCSF asks for milliseconds since the epoch in `time`; `time_dt` is the same
instant as a timestamp (datetime profile).

Columns that OCSF does not have:
- `log`, `shard`, `index`: the address of the entry, which leads to its proof;
- `received`, `source`, `via`, `peer`, `sender`, `node`, `stream`: the receipt header (`at`, `as`,
  `via`, `peer`, `from`, `node`, `stream`);
- `timings`: the phases of a request through the balancer in milliseconds, null for a phase that
  was not reached;
- `load`: how busy the balancer was when it logged (concurrent connections, queue lengths) and how
  often this request was retried;
- `captures`: the request and response headers that HAProxy was told to capture, in the order of
  its configuration, for the log does not name them;
- `parse_error`: why the entry could not be read (then `class_uid` is 0), or what part of it could
  not; null when it was read in full.
"""

from __future__ import annotations

import pyarrow as pa


def _struct(**fields: pa.DataType) -> pa.StructType:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


_TEXT = pa.string()
_ID = pa.int32()
_COUNT = pa.int64()
_INSTANT = pa.timestamp("us", tz="UTC")

_ENDPOINT = _struct(ip=_TEXT, port=_ID, hostname=_TEXT, name=_TEXT, svc_name=_TEXT, uid=_TEXT)
_NAMED = _struct(name=_TEXT, uid=_TEXT)
_PAIRS = pa.list_(_struct(name=_TEXT, value=_TEXT))
_PRODUCT = _struct(name=_TEXT, vendor_name=_TEXT, version=_TEXT, uid=_TEXT)
_SESSION = _struct(uid=_TEXT, issuer=_TEXT)
_USER = _struct(
    name=_TEXT, uid=_TEXT, type=_TEXT, domain=_TEXT, email_addr=_TEXT, groups=pa.list_(_NAMED)
)
_ENTITY = _struct(name=_TEXT, uid=_TEXT, type=_TEXT, version=_TEXT)
_RESOURCE = _struct(name=_TEXT, uid=_TEXT, type=_TEXT, namespace=_TEXT, version=_TEXT)
_URL = _struct(
    url_string=_TEXT, scheme=_TEXT, hostname=_TEXT, port=_ID, path=_TEXT, query_string=_TEXT
)

_PLACE = {"log": _TEXT, "shard": _TEXT, "index": _COUNT}

_RECEIPT = {
    "received": _INSTANT,
    "source": _TEXT,
    "via": _TEXT,
    "peer": _TEXT,
    "sender": _TEXT,
    "node": _TEXT,
    "stream": _TEXT,
}

_BASE = {
    "class_uid": _ID,
    "category_uid": _ID,
    "activity_id": _ID,
    "type_uid": _COUNT,
    "severity_id": _ID,
    "status_id": _ID,
    "status_code": _TEXT,
    "status_detail": _TEXT,
    "message": _TEXT,
    "duration": _COUNT,
    "metadata": _struct(
        uid=_TEXT,
        correlation_uid=_TEXT,
        version=_TEXT,
        log_name=_TEXT,
        log_level=_TEXT,
        event_code=_TEXT,
        original_time=_TEXT,
        tenant_uid=_TEXT,
        product=_PRODUCT,
        sequence=_COUNT,
    ),
    "device": _struct(hostname=_TEXT, name=_TEXT, ip=_TEXT, uid=_TEXT),
}

_WHO = {
    "actor": _struct(
        user=_USER,
        session=_SESSION,
        process=_struct(name=_TEXT, pid=_COUNT),
        app_name=_TEXT,
        invoked_by=_TEXT,
    ),
    "user": _USER,
    "service": _NAMED,
    "session": _SESSION,
    "auth_protocol": _TEXT,
    "is_mfa": pa.bool_(),
}

_NETWORK = {
    "src_endpoint": _ENDPOINT,
    "dst_endpoint": _ENDPOINT,
    "proxy_endpoint": _ENDPOINT,
    "connection_info": _struct(uid=_TEXT, protocol_name=_TEXT),
    "http_request": _struct(
        uid=_TEXT,
        http_method=_TEXT,
        url=_URL,
        version=_TEXT,
        user_agent=_TEXT,
        referrer=_TEXT,
        x_forwarded_for=pa.list_(_TEXT),
        length=_COUNT,
        body_length=_COUNT,
        http_headers=_PAIRS,
    ),
    "http_response": _struct(
        code=_ID,
        status=_TEXT,
        message=_TEXT,
        content_type=_TEXT,
        length=_COUNT,
        body_length=_COUNT,
        latency=_COUNT,
        http_headers=_PAIRS,
    ),
    "http_cookies": _PAIRS,
    "tls": _struct(
        version=_TEXT,
        cipher=_TEXT,
        sni=_TEXT,
        alert=_ID,
        certificate=_struct(subject=_TEXT, issuer=_TEXT, serial_number=_TEXT),
    ),
    "traffic": _struct(bytes=_COUNT, bytes_in=_COUNT, bytes_out=_COUNT),
    "load_balancer": _struct(
        name=_TEXT,
        uid=_TEXT,
        ip=_TEXT,
        code=_ID,
        classification=_TEXT,
        status_detail=_TEXT,
        error_message=_TEXT,
        message=_TEXT,
        dst_endpoint=_ENDPOINT,
        endpoint_connections=pa.list_(_struct(code=_ID, network_endpoint=_ENDPOINT)),
        metrics=_PAIRS,
    ),
    "timings": _struct(
        handshake=_COUNT,
        idle=_COUNT,
        request=_COUNT,
        queue=_COUNT,
        connect=_COUNT,
        response=_COUNT,
        upstream=_COUNT,
    ),
    "load": _struct(
        active=_ID,
        frontend=_ID,
        backend=_ID,
        server=_ID,
        retries=_ID,
        redispatched=pa.bool_(),
        server_queue=_ID,
        backend_queue=_ID,
    ),
    "captures": _struct(request=pa.list_(_TEXT), response=pa.list_(_TEXT)),
}

_CHANGE = {
    "api": _struct(
        operation=_TEXT,
        version=_TEXT,
        service=_struct(name=_TEXT),
        request=_struct(uid=_TEXT),
        response=_struct(code=_ID, error=_TEXT, error_message=_TEXT, message=_TEXT),
    ),
    "resources": pa.list_(_RESOURCE),
    "entity": _ENTITY,
    "entity_result": _ENTITY,
    "comment": _TEXT,
    "app": _PRODUCT,
}

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field(name, kind)
        for name, kind in {
            **_PLACE,
            "time": _COUNT,
            "time_dt": _INSTANT,
            **_RECEIPT,
            **_BASE,
            **_WHO,
            **_NETWORK,
            **_CHANGE,
            "unmapped": _TEXT,
            "parse_error": _TEXT,
            "raw_data": _TEXT,
        }.items()
    ]
)
"""The Arrow schema of every table of events; field order is the order of the columns."""
