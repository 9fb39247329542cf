"""The shapes of answers, for the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from muniment.api.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="names the kind of problem: urn:muniment:problem:...")
    title: str
    status: int
    detail: str
    line: int = Field(0, description="the line of the body, from 1, where one is known")
    advice: str = Field("", description="what to do next")
    retry_after: int = Field(0, description="seconds, for 429 and 503")

    model_config = ConfigDict(json_schema_extra={"required": ["type", "title", "status", "detail"]})


class Receipt(BaseModel):
    """The answer to a write. The entries are `first` to `first + count - 1`."""

    log: str
    shard: str
    first: int
    count: int
    durability: str = Field(
        description="`local`: synced to this node's disk before the answer; `replicated`: put into "
        "the write-ahead store as well"
    )
    receipt: str = Field(description="the signed checkpoint (C2SP) of the commit: keep it")


class Shard(BaseModel):
    """A shard of a log."""

    shard: str
    origin: str
    verifier: str = Field(description="verifier key (C2SP signed-note)")
    size: int = Field(description="durable entries")
    minimum: int = Field(description="the first entry that has not expired")


class Log(BaseModel):
    """A log."""

    name: str
    shards: list[Shard]


class Logs(BaseModel):
    """All logs of this node."""

    logs: list[Log]


class Token(BaseModel):
    """What is known of a token."""

    id: str
    name: str = Field(description="stands as `from` in the receipt header of what it writes")
    scopes: list[str]
    log: str = Field(description="the one log that it may write to; empty for any")
    created: str


class Tokens(BaseModel):
    """All tokens of this node."""

    tokens: list[Token]


class CreatedToken(Token):
    """A new token."""

    token: str = Field(description="the secret: shown this once")


class SearchAnswer(BaseModel):
    """A page of rows."""

    rows: list[dict[str, Any]] = Field(description="OCSF events, with log, shard and index")
    next: str = Field("", description="cursor of the next page; null at the end")
    indexed: dict[str, int] = Field(description="by shard, the first entry not searchable yet")
    lag: int = Field(description="durable entries that are not searchable yet")
    partial: bool = Field(description="time ran out: `next` goes on")

    model_config = ConfigDict(json_schema_extra={"required": ["rows", "indexed", "lag", "partial"]})


class Bucket(BaseModel):
    """A stretch of time and the events in it."""

    start: int = Field(description="milliseconds since the epoch")
    count: int


class HistogramAnswer(BaseModel):
    """Counts over time. There is no bucket where nothing matched at all."""

    buckets: list[Bucket]
    step: int = Field(description="the width of a bucket in milliseconds")
    total: int
    indexed: dict[str, int] = Field(description="by shard, the first entry not searchable yet")
    lag: int = Field(description="durable entries that are not counted yet")
    partial: bool = Field(description="time ran out: the counts are too low")


class Column(BaseModel):
    """A column of a table."""

    name: str
    type: str


class SqlAnswer(BaseModel):
    """A table."""

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool = Field(description="there are more rows than were asked for")
    lag: int = Field(description="durable entries that are not in the table yet")


class Ready(BaseModel):
    """Whether the node takes entries; search and stores have answers of their own, for they may
    fail alone."""

    ready: bool
    shards: list[dict[str, Any]]
    search: dict[str, Any]
    stores: list[dict[str, Any]] = []
    tokens: dict[str, Any] = {}


class Healthy(BaseModel):
    """The process answers."""

    status: str


_MEANING = {
    400: "malformed; `line` names the place where one is known",
    404: "there is no such log, shard or entry",
    408: "the body did not arrive in time",
    409: "the Idempotency-Key was used for other entries, or the tokens are made elsewhere",
    411: "neither Content-Length nor chunks",
    413: "a body, a line or an entry over its bound",
    415: "a content type or coding that is not taken",
    429: "a bounded queue is full: come again after Retry-After",
    503: "not now: come again after Retry-After",
}


def problems(*statuses: int) -> Responses:
    """Returns the error answers of a route; 401 and 403 come with every route."""
    found: Responses = {}
    for status in (400, 401, 403, *statuses):
        meaning = _MEANING.get(status, HTTPStatus(status).phrase.lower())
        schema = {"$ref": "#/components/schemas/Problem"}
        found[status] = {"description": meaning, "content": {MEDIA_TYPE: {"schema": schema}}}
    return found


def answers(good: dict[str, Any], *statuses: int) -> Responses:
    """Returns the answers of a route that gives `good` or a problem."""
    return {200: good, **problems(*statuses)}


def binary(meaning: str) -> dict[str, Any]:
    """Returns an answer of bytes."""
    return _content("application/octet-stream", meaning, {"type": "string", "format": "binary"})


def text(meaning: str, media: str = "text/plain") -> dict[str, Any]:
    """Returns an answer of text."""
    return _content(media, meaning, {"type": "string"})


def _content(media: str, meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {media: {"schema": schema}}}


def parameter(name: str, place: str, description: str, pattern: str = "") -> dict[str, Any]:
    """Returns a text parameter, for routes whose parameters FastAPI does not read."""
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema,
    }


_TEXT = {"type": "string"}
WRITE: dict[str, Any] = {
    "parameters": [
        parameter("log", "path", "name of the log"),
        parameter("as", "query", "source type, which names the parser", "^[a-z0-9._-]{1,64}$"),
        parameter("Idempotency-Key", "header", "makes a repetition harmless", "^[!-~]{1,128}$"),
        parameter("Content-Encoding", "header", "gzip or zstd"),
    ],
    "requestBody": {
        "required": True,
        "content": {
            "text/plain": {"schema": {**_TEXT, "description": "one entry a line"}},
            "application/x-ndjson": {"schema": {**_TEXT, "description": "one object a line"}},
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "object"},
                        {"type": "array", "items": {"type": "object"}, "minItems": 1},
                    ]
                }
            },
            "application/octet-stream": {
                "schema": {**_TEXT, "format": "binary", "description": "one entry"}
            },
        },
    },
}

SQL: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["query"],
                    "properties": {
                        "query": {**_TEXT, "description": "one SELECT over the table `events`"},
                        "log": {**_TEXT, "description": "name of the log; all by default"},
                        "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
                    },
                }
            }
        },
    }
}
