"""What Elasticsearch's clients ask before they send: answered so that they go on to send.

Beats, Logstash, Fluentd, Vector and the official clients look for a version, a licence, health,
and for the templates, policies and pipelines that they bring along. All of these are said to be
there, and are acknowledged when they are put, but nothing is made of them: a document is kept as
it came, and read by the log's own parsers.
"""

from __future__ import annotations

import re

import orjson

from muniment.receive.dialect import Reply
from muniment.receive.dialects.elastic import PRODUCT, failure, media

VERSION = "9.99.0"
"""High, since a Beat refuses what is older than itself; its major part names the API spoken."""

_UUID = "bXVuaW1lbnQtbXVuaW1lbg"
_LICENSE = {
    "status": "active",
    "uid": "00000000-0000-0000-0000-000000000000",
    "type": "basic",
    "mode": "basic",
    "issue_date": "2025-01-01T00:00:00.000Z",
    "issue_date_in_millis": 1735689600000,
    "max_nodes": 1000,
    "max_resource_units": None,
    "issued_to": "muniment",
    "issuer": "muniment",
    "start_date_in_millis": -1,
}
_HASH, _DATE = "0" * 40, "2025-01-01T00:00:00.000000000Z"
_TAGLINE = "You Know, for Search"
_ROOT = {
    "name": "muniment",
    "cluster_name": "muniment",
    "cluster_uuid": _UUID,
    "version": {
        "number": VERSION,
        "build_flavor": "default",
        "build_type": "tar",
        "build_hash": _HASH,
        "build_date": _DATE,
        "build_snapshot": False,
        "lucene_version": "10.0.0",
        "minimum_wire_compatibility_version": "8.19.0",
        "minimum_index_compatibility_version": "8.0.0",
    },
    "tagline": _TAGLINE,
}
_ON = {"available": True, "enabled": True}
_XPACK = {
    "build": {"hash": _HASH, "date": _DATE},
    "license": {key: _LICENSE[key] for key in ("uid", "type", "mode", "status")},
    "features": {"ilm": _ON, "logstash": _ON, "security": _ON, "data_streams": _ON},
    "tagline": _TAGLINE,
}
_HEALTH = {
    "cluster_name": "muniment",
    "status": "green",
    "timed_out": False,
    "number_of_nodes": 1,
    "number_of_data_nodes": 1,
    "active_primary_shards": 1,
    "active_shards": 1,
    "relocating_shards": 0,
    "initializing_shards": 0,
    "unassigned_shards": 0,
    "delayed_unassigned_shards": 0,
    "number_of_pending_tasks": 0,
    "number_of_in_flight_fetch": 0,
    "task_max_waiting_in_queue_millis": 0,
    "active_shards_percent_as_number": 100.0,
}
_USER: dict[str, object] = {
    "username": "muniment",
    "roles": [],
    "full_name": None,
    "email": None,
    "metadata": {},
    "enabled": True,
    "authentication_realm": {"name": "muniment", "type": "muniment"},
    "lookup_realm": {"name": "muniment", "type": "muniment"},
    "authentication_type": "token",
}
_SHARDS = {"_shards": {"total": 1, "successful": 1, "failed": 0}}
_DONE = {"acknowledged": True}

_ASKED = {
    "/": _ROOT,
    "/_license": {"license": _LICENSE},
    "/_xpack": _XPACK,
    "/_xpack/license": {"license": _LICENSE},
    "/_cluster/settings": {"persistent": {}, "transient": {}},
    "/_ilm/status": {"operation_mode": "RUNNING"},
    "/_security/_authenticate": _USER,
}
_HEALTH_PATH = re.compile(r"/_cluster/health(?:/[^/]+)?")
_NODES_PATH = re.compile(r"/_nodes(?:/.*)?")
_CAT_PATH = re.compile(r"/_cat/(health|templates|indices|aliases)(?:/(.*))?")
_KEPT = (
    "_ilm/policy",
    "_index_template",
    "_component_template",
    "_template",
    "_ingest/pipeline",
    "_logstash/pipeline",
    "_data_stream",
    "_alias",
)
_KEPT_PATH = re.compile(rf"/(?:{'|'.join(_KEPT)})(?:/.*)?")
_INDEX = r"/(?:<[^>]+>|[^/_<][^/]*)"
_INDEX_PATH = re.compile(rf"{_INDEX}/?")
_OF_INDEX_PATH = re.compile(rf"{_INDEX}/_(?:alias(?:es)?|mappings?|settings)(?:/.*)?")
_REFRESH_PATH = re.compile(rf"(?:{_INDEX})?/_(?:refresh|flush)/?")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")


def answer(
    method: str, path: str, query: bytes = b"", accept: str | None = None, *, host: str = ""
) -> Reply | None:
    """Answers a probe; None where the request is none of Elasticsearch's.

    `path` is decoded and without a prefix such as `/in/edge`, `query` is as it came. `host` is the
    request's Host: the one node that is told to clients which ask for nodes to send to. An answer
    to HEAD has a body too, which the caller leaves out.
    """
    found: object | None = None
    if method in ("GET", "HEAD"):
        table = _CAT_PATH.fullmatch(path)
        if table is not None:
            return _cat(table[1], table[2] or "*", query, accept)
        found = _get(path, host)
        if method == "HEAD" and (_INDEX_PATH.fullmatch(path) or _OF_INDEX_PATH.fullmatch(path)):
            found = _DONE
    elif method in ("PUT", "POST"):
        found = _put(method, path)
    if found is not None:
        return Reply(200, orjson.dumps(found), media(accept), PRODUCT)
    if not path.startswith("/_"):
        return None
    reason = f"no handler found for uri [{path[:200]}] and method [{method}]"
    return failure(400, "illegal_argument_exception", reason, accept)


def _get(path: str, host: str) -> object | None:
    if path in _ASKED:
        return _ASKED[path]
    if _HEALTH_PATH.fullmatch(path):
        return _HEALTH
    if _NODES_PATH.fullmatch(path):  # a node without processors would stop Filebeat's modules
        return _nodes("" if path.startswith("/_nodes/ingest") else host)
    if _KEPT_PATH.fullmatch(path):
        return {}
    return _SHARDS if _REFRESH_PATH.fullmatch(path) else None


def _put(method: str, path: str) -> object | None:
    if _REFRESH_PATH.fullmatch(path):
        return _SHARDS if method == "POST" else None
    if _KEPT_PATH.fullmatch(path) or _OF_INDEX_PATH.fullmatch(path) or path == "/_aliases":
        return _DONE
    if method == "PUT" and _INDEX_PATH.fullmatch(path):
        return {**_DONE, "shards_acknowledged": True, "index": _plain(path.strip("/"))}
    return None


def _nodes(host: str) -> object:
    """The nodes that a client may send to: the one that it has found already, or none."""
    nodes = {}
    if _HOST.fullmatch(host):
        nodes["muniment"] = {
            "name": "muniment",
            "version": VERSION,
            "roles": ["data", "ingest", "master"],
            "http": {"publish_address": host},
        }
    count = {"total": len(nodes), "successful": len(nodes), "failed": 0}
    return {"_nodes": count, "cluster_name": "muniment", "nodes": nodes}


def _cat(table: str, name: str, query: bytes, accept: str | None) -> Reply:
    """Answers for the eyes, a line; JSON where that is asked for."""
    row = {"name": _plain(name)}
    if table == "health":
        row = {"cluster": "muniment", "status": "green"}
    if b"format=json" in query.split(b"&"):
        return Reply(200, orjson.dumps([row]), media(accept), PRODUCT)
    text = " ".join(row.values()) + "\n"
    return Reply(200, text.encode(), "text/plain; charset=UTF-8", PRODUCT)


def _plain(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
