"""The shapes of answers about objects and their versions, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Place(BaseModel):
    """Where an entry stands in its log: what leads to its proof."""

    shard: str
    index: int


class ObjectSummary(BaseModel):
    """An object and its latest version."""

    object: str = Field(description="system:instance/kind/name")
    kind: str = Field(description="system.kind")
    number: int = Field(description="versions count from 1")
    version: str = Field(description="SHA-256 of the state; empty where it was deleted")
    change: str = Field(description="observe, create, update or delete")
    time: str
    entry: Place


class Objects(BaseModel):
    """A page of objects, by name."""

    objects: list[ObjectSummary]
    next: str = Field("", description="cursor of the next page; null at the end")
    lag: int = Field(description="durable entries that are not searchable yet")


class VersionSummary(BaseModel):
    """A version of an object, without its state."""

    number: int
    version: str
    previous: str = Field(description="the version before; empty where nothing is known of it")
    change: str
    time: str = Field(description="when it was seen")
    since: str = Field(description="the look before: the change happened in between")
    fields: list[dict[str, Any]] = Field(description="what differs from the version before")
    redacted: list[str] = Field(description="JSON pointers of members whose value was replaced")
    names: list[str] = Field(description="other names, under which other logs know it")
    by: dict[str, str] = Field(description="who changed it, where the system says so")
    where: dict[str, str] = Field(description="the frontend, backend and server it belongs to")
    agent: str = Field(description="who saw it")
    stream: str = Field(description="the agent's stream; empty where no agent sent it")
    sender: str = Field(description="who was authenticated (`from` of the receipt header)")
    via: str = Field(description="the protocol by which it came")
    fault: str = Field("", description="what is wrong with the event; empty where nothing is")
    entry: Place


class History(BaseModel):
    """Versions of one object, newest first."""

    object: str
    kind: str
    total: int
    versions: list[VersionSummary]
    next: int = Field(0, description="`before` of the next page; null at the end")
    lag: int

    model_config = ConfigDict(
        json_schema_extra={"required": ["object", "kind", "total", "versions", "lag"]}
    )


class Evidence(BaseModel):
    """An act that fits a version."""

    who: str
    where: str = Field(description="the address acted from")
    how: str = Field(description="by which interface, with which tool")
    action: str
    time: str
    entry: Place
    request: str = Field(description="audit, trace or request id")
    certain: bool = Field(description="it names the object, changes something and went well")
    why: str


class BlamedVersion(VersionSummary):
    """A version and who made it."""

    evidence: list[Evidence]
    conclusion: str = Field(description="what is known, in one sentence")
    partial: bool = Field(description="there were more acts than were looked at")


class Blame(History):
    """Versions of one object, newest first, and who made each."""

    versions: list[BlamedVersion]  # type: ignore[assignment]


class WholeVersion(VersionSummary):
    """A version with its whole state."""

    object: str
    kind: str
    total: int
    state: dict[str, Any] = Field(description="null where the object was not there")
    note: str = Field(description="the agent's signature of the change; empty where it has none")


class Named(BaseModel):
    """A version, by its names."""

    number: int
    version: str
    time: str
    change: str


class SectionDiff(BaseModel):
    """A section of a configuration that differs."""

    name: str
    change: str = Field(description="added, removed or changed")
    removed: list[str]
    added: list[str]


class Diff(BaseModel):
    """How two versions differ."""

    object: str
    from_: Named = Field(alias="from")
    to: Named
    same: bool
    fields: list[dict[str, Any]] = Field(description="path, before and after")
    text: str = Field(description="unified diff of a file's content; empty where there is none")
    sections: list[SectionDiff] = Field(description="of a configuration that is known")
    semantic: bool = Field(description="all that differs is in `fields` and `sections`")
    left_out: bool = Field(description="there are more fields")


class TimelineItem(BaseModel):
    """Something that happened."""

    time: str
    kind: str = Field(description="change, act, reload, effect or gap")
    object: str = Field(description="the object that changed; empty for other kinds")
    text: str = Field(description="in plain words")
    entry: Place = Field(description="null for an effect, which has none")
    joins: list[dict[str, Any]] = Field(
        [], description="what it belongs to: `to` is an entry or `effect`, `by` says why"
    )


class Errors(BaseModel):
    """Failures over time."""

    of: str = Field(description="the query of the traffic that is counted")
    step: int = Field(description="the width of a bucket in milliseconds")
    buckets: list[dict[str, int]] = Field(description="start, count, errors")
    rise: dict[str, Any] = Field(
        description="null, or start, end, before and share (0 to 1), count, errors, where"
    )


class Explanation(BaseModel):
    """What changed around a moment, and what came of it."""

    from_: str = Field(alias="from")
    to: str
    object: str
    errors: Errors
    timeline: list[TimelineItem]
    summary: list[str] = Field(description="what belongs together, in plain words")
    partial: bool = Field(description="there was more than was looked at")


class Hop(BaseModel):
    """One station of a request."""

    time: str
    source: str
    name: str
    what: str
    latency_ms: int = Field(description="with what is behind it; null where it is not known")
    own_ms: int = Field(description="null, or without the longest of what is inside of it")
    gap_ms: int = Field(description="null, or after the hop before it began")
    status: int | str = Field(description="null where there is none")
    request: str
    entry: Place


class Trace(BaseModel):
    """One request across the systems that logged it."""

    trace: str
    hops: list[Hop]
    partial: bool
