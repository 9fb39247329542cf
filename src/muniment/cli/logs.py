"""The logs and shards of a server, as `GET /api/v1/logs` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muniment.cli.client import Server, Unreachable
from muniment.errors import UnknownLog, UnknownShard


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What a server says of a shard; `verifier` is what it claims its key to be."""

    log: str
    shard: str
    origin: str
    verifier: str
    size: int


def list_logs(server: Server) -> Mapping[str, Sequence[ShardInfo]]:
    """Returns the shards of each log. Raises Unreachable where the answer is no such list."""
    answer = server.get_json("/api/v1/logs")
    try:
        return {
            log["name"]: [
                ShardInfo(log["name"], s["shard"], s["origin"], s["verifier"], int(s["size"]))
                for s in log["shards"]
            ]
            for log in answer["logs"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable(f"{server.url} lists no logs: is it a Muniment server?") from error


def shards_of(server: Server, log: str) -> Sequence[ShardInfo]:
    """Returns the shards of one log. Raises UnknownLog."""
    logs = list_logs(server)
    if not logs.get(log):
        there = ", ".join(logs) or "none"
        raise UnknownLog(f"{server.url} has no log {log!r}; it has: {there}")
    return logs[log]


def shard_of(server: Server, log: str, shard: str) -> ShardInfo:
    """Returns one shard. Raises UnknownLog or UnknownShard."""
    found = shards_of(server, log)
    for one in found:
        if one.shard == shard:
            return one
    there = ", ".join(one.shard for one in found)
    raise UnknownShard(f"log {log!r} has no shard {shard!r}; it has: {there}")
