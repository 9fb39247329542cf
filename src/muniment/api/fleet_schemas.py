"""The answers about the fleet, for the OpenAPI document."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ShardOfMember(BaseModel):
    """A shard as a node has it."""

    size: int = Field(description="durable entries")
    verifier: str = Field(description="the public key, as C2SP signed-note")
    writable: bool = Field(description="whether that node writes it")
    minimum: int = Field(description="the first entry that has not expired")


class Member(BaseModel):
    """One node."""

    node: str
    url: str
    roles: list[str]
    state: str = Field(description="starting, ready, draining, left, or lost")
    incarnation: str = Field(description="tells its starts apart")
    beat: int = Field(description="goes up each time it speaks")
    version: str
    region: str
    jurisdiction: str
    shards: dict[str, dict[str, ShardOfMember]] = Field(description="by log and by name")
    residency: dict[str, str] = Field(description="the jurisdiction of each log that has one")
    listeners: dict[str, str] = Field(description="addresses of other protocols, by name")


class Members(BaseModel):
    """The other nodes."""

    members: list[Member]


class LogEverywhere(BaseModel):
    """A log of the fleet."""

    name: str
    residency: str = Field(description="the jurisdiction that it does not leave; empty for none")
    entries: int = Field(description="as its nodes last told")
    shards: int
    here: bool = Field(description="whether this node has it")
    ask: list[str] = Field(description="urls of nodes that have it, those that search it first")


class Everywhere(BaseModel):
    """The logs of the whole fleet."""

    logs: list[LogEverywhere]
