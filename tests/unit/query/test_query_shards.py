"""A query process takes shards that come while it runs, and answers with each batch once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from muniment import kernel
from muniment.errors import Unavailable
from muniment.index import check_index
from muniment.log import Batch, Shard
from muniment.log.note import Signer
from muniment.query import QueryProcess

LOG, A, B = "edge", "aaaa", "bbbb"
PATIENCE = 120.0


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 3 * PATIENCE))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if await condition():
                    return
            except Unavailable:
                pass
            await asyncio.sleep(0.02)


class House:
    """A query process of a log that begins without a shard."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.query = QueryProcess(data, {LOG: []})
        self.shards: dict[str, Shard] = {}

    def join(self, name: str) -> None:
        """One more shard, which the query process is told of."""
        directory = self.data / "logs" / LOG / name
        directory.parent.mkdir(parents=True, exist_ok=True)
        signer = Signer(f"muniment.local/{LOG}/{name}", bytes(range(32)))
        Shard.create(directory, signer)
        shard = self.shards[name] = Shard.open(directory, signer, log=LOG)
        self.query.follow(LOG, [name])
        shard.on_commit.append(lambda size: self.query.advance(LOG, name, size))

    def put(self, name: str, numbers: Sequence[int], id_: str = "") -> None:
        """Puts a batch of native events."""
        fields = {"at": "2026-03-01T10:00:00.000000Z", "node": name, "via": "http", "as": "json"}
        header = orjson.dumps(fields | ({"id": id_} if id_ else {})) + b"\n"
        lines = [orjson.dumps({"actor": "u", "action": "a", "resource": f"/{n}"}) for n in numbers]
        batch = Batch(kernel.pack_records(lines, header), id_ or None)
        self.shards[name].submit(batch).result()

    async def indexed(self) -> None:
        """Waits until everything is searchable."""

        async def there() -> bool:
            status = (await self.query.status())["logs"][LOG]["shards"]
            sizes = {name: shard.size for name, shard in self.shards.items()}
            return {name: one["indexed"] for name, one in status.items()} == sizes

        await until(there)

    async def resources(self) -> list[str]:
        found = await self.query.search(LOG, limit=1_000)
        return sorted(orjson.loads(row["raw_data"])["resource"] for row in found["rows"])


@asynccontextmanager
async def house(data: Path) -> AsyncIterator[House]:
    made = House(data)
    await made.query.start()
    try:
        yield made
    finally:
        await made.query.close()
        for shard in made.shards.values():
            shard.close()
        assert check_index(data / "index" / LOG) == []


def test_shards_come_while_it_runs_and_after_it_was_killed(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            assert await home.resources() == []
            assert (await home.query.tail(LOG, wait=0))["after"] == {}
            home.join(A)
            home.put(A, range(3), "k1")
            await home.indexed()
            first = home.query.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            home.join(B)
            home.put(B, range(3), "k1")
            home.put(B, range(3, 5), "k2")
            home.put(A, range(3, 5), "k2")

            async def again() -> bool:
                return home.query.pid not in (None, first)

            await until(again)
            await home.indexed()
            assert await home.resources() == ["/0", "/1", "/2", "/3", "/4"]
            counted = await home.query.histogram(LOG)
            assert counted["total"] == 5
            answer = await home.query.sql("SELECT count(*) FROM events", log=LOG)
            assert (answer["rows"], answer["lag"]) == ([[5]], 0)
            assert home.query.lag(LOG) == 0

            async def told() -> bool:
                return home.query.duplicates(LOG) == (5, 0)

            await until(told)
            assert home.query.duplicates("none") == (0, 0)

    run(work())


def test_a_tail_has_no_copies_and_goes_on_behind_them(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.join(A)
            home.join(B)
            home.put(A, [0], "k0")
            home.put(B, [0], "k0")
            await home.indexed()
            place = (await home.query.tail(LOG, wait=0))["after"]
            assert place == {A: 0, B: 0}
            home.put(A, [1], "k1")
            await home.indexed()
            home.put(B, [1], "k1")
            home.put(B, [2], "k2")
            await home.indexed()
            found = await home.query.tail(LOG, after=place, wait=PATIENCE)
            rows = [(row["shard"], row["index"]) for row in found["rows"]]
            assert rows == [(A, 1), (B, 2)]
            assert found["after"] == {A: 1, B: 2}
            home.put(A, [2], "k2")
            await home.indexed()
            after = await home.query.tail(LOG, after=found["after"], wait=0)
            assert (after["rows"], after["after"]) == ([], {A: 2, B: 2})

    run(work())


def test_completeness_counts_a_batch_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.join(A)
            home.join(B)
            home.put(A, range(4), "k1")
            await home.indexed()
            home.put(B, range(4), "k1")
            await home.indexed()
            now = 1_772_359_200_000
            tally = await home.query.tally(
                LOG,
                "",
                borders=[now - 60_000, now + 120_000],
                settled=0,
                since={},
                until={A: 4, B: 4},
            )
            assert list(tally.possible) == [4]

    run(work())
