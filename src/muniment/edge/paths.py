r"""What may go through the edge, and to which nodes: one list for every balancer.

The first class whose pattern and methods fit a request decides. What fits none is answered by the
edge: 405 where another method is taken there, else 404. The patterns look at the path as it came,
so no character that needs no escape may be escaped (`NEEDLESS`): a node must not see another path
than the edge did. They are written in what PCRE and RE2 have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["write", "read", "admin"]

LOG = r"[a-z0-9][a-z0-9._-]*"
_IN = rf"(?:/in/{LOG})?"
_INDEX = r"/[^/_.][^/]*"
_SHARD = r"[a-z0-9][a-z0-9._-]*"
_READ = ("GET", "HEAD")

NEEDLESS = (
    r"%(?:00|2[dDeEfF]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaCcFf]|6[1-9A-Fa-f]|7[0-9AaEe])"
    r"|%(?:[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|$)|//|/\.\.?(?:/|$)|\\"
)
"""In a path: escapes of what needs none, of slashes and of NUL, bad escapes, `//`, `/.`, `/..`."""


@dataclass(frozen=True, slots=True)
class PathClass:
    """Requests that are treated alike.

    `role` says which nodes answer. A `lasting` answer never changes, and is what may be cached;
    a `static` one is the same for everybody. `open_log` says that the path need not name a log
    whose entries are then written: the node, or the sender's token, decides. `own` is what a node
    says or does of its own shards alone: where several nodes write it is refused (`AT_EACH_NODE`).
    """

    name: str
    methods: tuple[str, ...]
    pattern: str
    role: Literal["ingest", "query"]
    kind: Kind
    lasting: bool = False
    static: bool = False
    open_log: bool = False
    own: bool = False


CLASSES: tuple[PathClass, ...] = (
    PathClass("entries", ("POST",), rf"^/api/v1/logs/{LOG}/entries$", "ingest", "write"),
    PathClass("attachment", ("PUT",), rf"^/api/v1/logs/{LOG}/attachments$", "ingest", "write"),
    PathClass(
        "push",
        ("POST", "PUT", "OPTIONS"),
        rf"^{_IN}/(?:v1/logs|loki/api/v1/push|api/prom/push|kubernetes/audit|cloudevents|capture)$",
        "ingest",
        "write",
        open_log=True,
    ),
    PathClass(
        "collector",
        ("GET", "HEAD", "POST", "OPTIONS"),
        rf"^{_IN}/services/collector(?:/(?:event|raw|ack|health))?(?:/1\.0)?/?$",
        "ingest",
        "write",
        open_log=True,
    ),
    PathClass(
        "bulk",
        ("POST", "PUT"),
        rf"^{_IN}(?:{_INDEX}(?:/[^/]+)?)?/_bulk/?$|^{_IN}{_INDEX}/_(?:doc|create)(?:/.*)?$",
        "ingest",
        "write",
        open_log=True,
    ),
    PathClass(
        "tile",
        _READ,
        rf"^/tlog/{LOG}/{_SHARD}/tile/(?:entries|[0-9]+)/(?:x[0-9]+/)*[0-9]+(?:\.p/[0-9]+)?$",
        "query",
        "read",
        lasting=True,
    ),
    PathClass(
        "entry",
        _READ,
        rf"^/api/v1/logs/{LOG}/shards/{_SHARD}/entries/[0-9]+$",
        "query",
        "read",
        lasting=True,
    ),
    PathClass("head", _READ, rf"^/tlog/{LOG}/{_SHARD}/(?:checkpoint|pruned)$", "query", "read"),
    PathClass("sql", ("POST",), r"^/api/v1/sql$", "query", "read"),
    PathClass(
        "holds",
        ("GET", "HEAD", "POST", "DELETE"),
        rf"^/api/v1/logs/{LOG}/holds(?:/[^/]+)?$",
        "ingest",
        "admin",
        own=True,
    ),
    PathClass(
        "tokens",
        ("GET", "HEAD", "POST", "DELETE"),
        r"^/api/v1/tokens(?:/[0-9a-f]+)?$",
        "ingest",
        "admin",
    ),
    PathClass("members", _READ, r"^/api/v1/members$", "ingest", "admin"),
    PathClass(
        "keeping",
        _READ,
        rf"^/api/v1/stores(?:/[^/]+/worm)?$|^/api/v1/logs/{LOG}/retention$",
        "ingest",
        "admin",
        own=True,
    ),
    PathClass(
        "search",
        _READ,
        rf"^/api/v1/everywhere$|^/api/v1/logs(?:/{LOG}/(?:search|histogram|tail|objects|history|version|diff|blame"
        rf"|explain|completeness|traces/[^/]+|attachments/[0-9a-f]+"
        rf"|shards/{_SHARD}/entries/[0-9]+/proof))?$",
        "query",
        "read",
    ),
    PathClass(
        "static",
        _READ,
        r"^/(?:(?:js|style)/[a-z0-9/._-]+|favicon\.svg)$",
        "query",
        "read",
        static=True,
    ),
    PathClass(
        "page",
        _READ,
        r"^/(?:[a-z]+\.html|docs(?:/[A-Za-z0-9._-]+)?|openapi\.json)?$",
        "query",
        "read",
    ),
    PathClass(
        "probe",
        ("GET", "HEAD", "POST", "PUT"),
        rf"^{_IN}(?:{_INDEX})?/_(?:license|xpack|cluster|ilm|security|nodes|cat|index_template"
        r"|component_template|template|ingest|logstash|data_stream|alias|aliases|mapping|mappings"
        rf"|settings|refresh|flush)(?:/.*)?$|^{_IN}/ready$|^/in/{LOG}/?$",
        "ingest",
        "write",
        open_log=True,
    ),
    PathClass("index", ("HEAD", "PUT"), rf"^{_IN}{_INDEX}/?$", "ingest", "write", open_log=True),
)

OF_LOG = rf"^/(?:api/v1/logs|tlog|in)/({LOG})(?:/.*)?$"
"""Finds the log that a path names, as its first group."""

AT_EACH_NODE = (
    "a hold is placed at each node that writes a shard, and each has its own retention and stores: "
    "ask the nodes themselves"
)
"""Why a request of an `own` class is refused with 403 where several nodes write."""

INNER = r"^/(?:metrics|healthz|readyz)$"
"""Of one node or of the edge: `/healthz` and `/readyz` are answered here, the rest by none."""

FORGED = (
    *("x-ssl-client-cn", "x-ssl-client-dn", "x-ssl-client-verify", "x-ssl-client-cert"),
    *("client-cert", "client-cert-chain", "x-client-cert", "x-client-verify", "x-client-dn"),
    *("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"),
    *("x-forwarded-prefix", "x-forwarded-server", "x-forwarded-client-cert", "via", "proxy"),
    *("x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip"),
    *("x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method"),
    *("x-method-override", "x-original-forwarded-for", "upgrade", "proxy-connection"),
    *("x-envoy-external-address", "x-envoy-original-path", "x-envoy-internal"),
    *("x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms"),
)
"""Headers by which somebody outside might speak for the edge: none of them goes on to a node."""

METHODS = tuple(dict.fromkeys(method for one in CLASSES for method in one.methods))
