"""Questions to the nodes of the fleet and to its edge, over TLS with the fleet's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from muniment.errors import MunimentError
from muniment.fleet.calls import Calls
from muniment.fleet.member import Member, decode_member
from muniment.settings.fleet import FleetSettings
from muniment.up.places import Places
from muniment.up.plan import Plan, Planned
from muniment.up.prepare import CLIENT

PAUSE = 0.1

Sizes = Mapping[tuple[str, str], int]
"""Entries of shards, by log and name."""


class Nodes:
    """Asks nodes. Where one does not answer, the answer is None or False; nothing is raised."""

    def __init__(self, places: Places) -> None:
        client = places.identity(CLIENT)
        self._calls = Calls(
            FleetSettings.model_validate(
                {
                    "url": "https://127.0.0.1:1",  # nobody calls this process
                    "members": ["https://127.0.0.1:1"],
                    "ca": places.authority.certificate,
                    "certificate": client.certificate,
                    "key": client.key,
                    "token": places.fleet_token,
                }
            )
        )

    def close(self) -> None:
        """Closes the connections."""
        self._calls.close()

    async def ready(self, url: str) -> bool:
        """Whether a node, or some node behind the edge, says that it is ready."""
        return await self._get(f"{url}/readyz") is not None

    async def member(self, node: Planned) -> Member | None:
        """What a node says of itself."""
        url = f"{node.url}/api/v1/node"
        data = await self._get(url)
        with suppress(MunimentError):
            return decode_member(data, url) if data is not None else None
        return None

    async def written(self, plan: Plan) -> Sizes:
        """The sizes of all shards that nodes of the plan write."""
        return sizes(await asyncio.gather(*(self.member(node) for node in plan.present())))

    async def wait_seen(self, node: Planned, wanted: Sizes, seconds: float) -> bool:
        """Waits until a node has so much of each shard; says whether it came to that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not _has(await self.member(node), wanted):
                    await asyncio.sleep(PAUSE)
                return True
        return False

    async def _get(self, url: str) -> bytes | None:
        with suppress(MunimentError):
            return await asyncio.to_thread(self._calls.get, url)
        return None


def sizes(members: Iterable[Member | None]) -> Sizes:
    """Returns the sizes of the shards that these write."""
    return {
        (log, name): shard.size
        for member in members
        if member is not None
        for log, shards in member.shards.items()
        for name, shard in shards.items()
        if shard.writable
    }


def _has(member: Member | None, wanted: Sizes) -> bool:
    shards = member.shards if member is not None else {}
    return all(
        log in shards and name in shards[log] and shards[log][name].size >= size
        for (log, name), size in wanted.items()
    )
