"""A loopback server that answers the part of the HTTP contract that the console uses.

It holds real bytes, real proofs and a real signature; `faults` make it dishonest or broken.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from console_evidence import LogKey, leaf_hash, proof_file
from console_traffic import Made, Row

from muniment.console import static_directory

SHARD = "5f0c1a9e"
ORIGIN = f"muniment.local/default/{SHARD}"
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@dataclass
class Refusal(Exception):
    """An answer that is a problem (RFC 9457)."""

    status: int
    title: str
    detail: str
    advice: str = ""


@dataclass
class Faults:
    """What the server does wrong, on purpose."""

    entry: Callable[[bytes], bytes] = lambda body: body
    proof: Callable[[str], str] = lambda text: text
    proof_missing: int = 0
    token: str = ""
    cut_tail_after: int | None = None
    out_of_time: bool = False


@dataclass
class Evidence:
    """The log behind the server: entries with their events, a key, and who follows the tail."""

    made: list[Made] = field(default_factory=list)
    key: LogKey = field(default_factory=lambda: LogKey(ORIGIN, bytes(range(32))))
    faults: Faults = field(default_factory=Faults)
    followers: list[queue.Queue[Row]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    resumed_from: list[str | None] = field(default_factory=list)
    splits_counts: bool = False

    def rows(self) -> list[Row]:
        """All events, with their addresses, oldest first."""
        return [self.row(index) for index in range(len(self.made))]

    def row(self, index: int) -> Row:
        """The event of one entry."""
        return {**self.made[index].row, "log": "default", "shard": SHARD, "index": index}

    def add(self, made: Made) -> None:
        """Append an entry and tell the followers."""
        self.made.append(made)
        for follower in list(self.followers):
            follower.put(self.row(len(self.made) - 1))

    def checkpoint(self) -> str:
        """The signed head."""
        return self.key.checkpoint(self.leaves())

    def leaves(self) -> list[bytes]:
        """The leaf hashes of all entries."""
        return [leaf_hash(one.entry) for one in self.made]


@dataclass
class Site:
    """A running server: its address, and the log behind it."""

    address: str
    evidence: Evidence


def check(query: str) -> None:
    """Refuse a query whose quotation is not closed."""
    if query.count('"') % 2:
        detail = "column 1: the quotation is not closed; expected '\"'"
        raise Refusal(400, "The query cannot be understood", detail, "Close the quotation.")


def matches(row: Row, query: str) -> bool:
    """As much of the query language as the tests use."""
    return all(_term(row, term) for term in query.split())


def _term(row: Row, term: str) -> bool:
    if term.startswith("-"):
        return not _term(row, term[1:])
    name, colon, value = term.partition(":")
    if not colon:
        return term.strip('"').lower() in row["raw_data"].lower()
    code = row.get("http_response", {}).get("code", 0)
    if ".." in value:
        low, high = value.split("..")
        return int(low) <= code <= int(high)
    known: dict[str, Any] = {
        "status": code, "http_response.code": code, "index": row["index"], "shard": row["shard"],
        "method": row.get("http_request", {}).get("http_method"),
        "http_request.http_method": row.get("http_request", {}).get("http_method"),
    }  # fmt: skip
    if name == "error":
        return "parse_error" in row
    for sign, holds in ((">=", int.__ge__), ("<", int.__lt__)):
        if value.startswith(sign):
            return bool(holds(int(known[name]), int(value.removeprefix(sign))))
    return str(known.get(name)) == value


def _milliseconds(text: str | None) -> int | None:
    return int(datetime.fromisoformat(text).timestamp() * 1000) if text else None


class Handler(BaseHTTPRequestHandler):
    """One request; `evidence` is set on the class by `serve`."""

    evidence: Evidence
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        params = {name: values[0] for name, values in parse_qs(url.query).items()}
        try:
            self._route([unquote(part) for part in url.path.split("/")[1:]], params)
        except Refusal as refusal:
            problem = {
                "type": "about:blank", "title": refusal.title, "status": refusal.status,
                "detail": refusal.detail, "advice": refusal.advice,
            }  # fmt: skip
            body = json.dumps(problem).encode()
            self._send(body, "application/problem+json", refusal.status)

    def _route(self, parts: list[str], params: dict[str, str]) -> None:
        match parts:
            case ["api", *_] | ["tlog", *_]:
                self._authenticate()
                self.evidence.asked.append(("/".join(parts), params))
                self._api(parts, params)
            case _:
                self._static("/".join(parts) or "index.html")

    def _authenticate(self) -> None:
        token = self.evidence.faults.token
        if token and self.headers.get("authorization") != f"Bearer {token}":
            raise Refusal(401, "A token is needed", "Show a token with the right to read.")

    def _api(self, parts: list[str], params: dict[str, str]) -> None:
        check(params.get("q", ""))
        match parts:
            case ["api", "v1", "logs"]:
                self._json(self._logs())
            case ["api", "v1", "logs", "default", "search"]:
                self._json(self._search(params))
            case ["api", "v1", "logs", "default", "histogram"]:
                self._json(self._histogram(params))
            case ["api", "v1", "logs", "default", "tail"]:
                self._tail(params.get("q", ""))
            case ["api", "v1", "logs", "default", "shards", _, "entries", index, *rest]:
                self._entry(int(index), bool(rest))
            case ["tlog", "default", _, "checkpoint"] if self.evidence.made:
                self._send(self.evidence.checkpoint().encode(), "text/plain; charset=utf-8")
            case _:
                raise Refusal(404, "Not found", f"There is no /{'/'.join(parts)} here.")

    def _logs(self) -> dict[str, Any]:
        shard = {
            "shard": SHARD, "origin": ORIGIN, "verifier": self.evidence.key.verifier,
            "size": len(self.evidence.made),
        }  # fmt: skip
        return {"logs": [{"name": "default", "shards": [shard]}]}

    def _found(self, params: dict[str, str]) -> list[Row]:
        start, end = params.get("from", ""), params.get("to", "9999")
        rows = [row for row in self.evidence.rows() if start <= row["time_dt"] < end]
        found = [row for row in rows if matches(row, params.get("q", ""))]
        return sorted(found, key=lambda row: (row["time"], row["index"]), reverse=True)

    def _search(self, params: dict[str, str]) -> dict[str, Any]:
        rows, limit = self._found(params), int(params.get("limit", "50"))
        skip = int(params.get("cursor", "0"))
        more = str(skip + limit) if len(rows) > skip + limit else None
        indexed = {SHARD: len(self.evidence.made)}
        page = rows[skip : skip + limit]
        if self.evidence.faults.out_of_time and not skip:
            page, more = [], "1"
        return {
            "rows": page, "next": more, "indexed": indexed, "lag": 0,
            "partial": page == [] and more is not None,
        }  # fmt: skip

    def _histogram(self, params: dict[str, str]) -> dict[str, Any]:
        rows = self._found(params)
        if not rows:
            return {"buckets": [], "step": 1}
        start = _milliseconds(params.get("from")) or rows[-1]["time"]
        end = _milliseconds(params.get("to")) or rows[0]["time"] + 1
        step = -(-(end - start) // int(params["buckets"]))
        buckets: list[Any] = [{"start": at, "count": 0} for at in range(start, end, step)]
        for row in rows:
            bucket = buckets[(row["time"] - start) // step]
            bucket["count"] += 1
            if self.evidence.splits_counts and (code := row.get("http_response", {}).get("code")):
                classes = bucket.setdefault("status", {})
                name = f"{code // 100}xx"
                classes[name] = classes.get(name, 0) + 1
        return {"buckets": buckets, "step": step}

    def _entry(self, index: int, wants_proof: bool) -> None:
        evidence, faults = self.evidence, self.evidence.faults
        if index >= len(evidence.made):
            raise Refusal(404, "No such entry", f"The shard has {len(evidence.made)} entries.")
        if not wants_proof:
            body = faults.entry(evidence.made[index].entry)
            return self._send(body, "application/octet-stream")
        if faults.proof_missing:
            faults.proof_missing -= 1
            raise Refusal(404, "No such entry", "No published checkpoint covers it yet.")
        text = faults.proof(proof_file(evidence.checkpoint(), evidence.leaves(), index))
        return self._send(text.encode(), "text/plain; charset=utf-8")

    def _tail(self, query: str) -> None:
        self.evidence.resumed_from.append(self.headers.get("last-event-id"))
        follower: queue.Queue[Row] = queue.Queue()
        self.evidence.followers.append(follower)
        self.close_connection = True
        try:
            self._head("text/event-stream", 200, None)
            self.wfile.write(b": ping\n\n")
            for row in self._events(follower):
                if matches(row, query):
                    event = f"event: entry\nid: {row['shard']}:{row['index']}\n"
                    self.wfile.write(f"{event}data: {json.dumps(row)}\n\n".encode())
        except OSError:
            pass  # The browser went away.
        finally:
            self.evidence.followers.remove(follower)

    def _events(self, follower: queue.Queue[Row]) -> Iterator[Row]:
        sent = 0
        while self.evidence.faults.cut_tail_after != sent:
            try:
                yield follower.get(timeout=0.5)
                sent += 1
            except queue.Empty:
                self.wfile.write(b": ping\n\n")

    def _static(self, name: str) -> None:
        root = static_directory()
        path = (root / name).resolve()
        if not path.is_file() or root not in path.parents:
            raise Refusal(404, "Not found", f"There is no /{name} here.")
        kind = "text/javascript" if path.suffix == ".js" else guess_type(Path(name))[0]
        self._send(path.read_bytes(), kind or "application/octet-stream")

    def _json(self, body: dict[str, Any]) -> None:
        self._send(json.dumps(body).encode(), "application/json")

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self._head(kind, status, len(body))
        self.wfile.write(body)

    def _head(self, kind: str, status: int, length: int | None) -> None:
        self.send_response_only(status)
        self.send_header("date", formatdate(usegmt=True))
        self.send_header("content-type", kind)
        self.send_header("content-security-policy", POLICY)
        if length is None:
            self.send_header("connection", "close")
        else:
            self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep the test output clean."""


def serve(evidence: Evidence) -> ThreadingHTTPServer:
    """Start the server on a free loopback port; the caller shuts it down."""
    handler = type("BoundHandler", (Handler,), {"evidence": evidence})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
