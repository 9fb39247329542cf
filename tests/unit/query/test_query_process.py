"""The query process: asked over its owner's channel, killed, started again, and none the wiser."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from muniment import kernel
from muniment.errors import MunimentError, Overloaded, QueryError, Unavailable, UnknownLog
from muniment.index import check_index
from muniment.log import Batch, Shard
from muniment.log.note import Signer
from muniment.query import QueryProcess
from muniment.query import channel as channel_module
from muniment.query import client as client_module
from muniment.query.protocol import error_message, read_error

LOG, SHARD = "edge", "0a1b2c3d"
HEADER = b'{"at":"2026-03-01T10:00:00.000000Z","node":"n","via":"http","as":"json"}\n'
PATIENCE = 60.0
KILLS = 10
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, PATIENCE * 12))


def event(number: int) -> bytes:
    return orjson.dumps({"actor": f"user{number % 7}", "action": "read", "resource": f"/{number}"})


class House:
    """A shard and a query process that follows it."""

    def __init__(self, data: Path, shard: Shard) -> None:
        self.data = data
        self.shard = shard
        self.query = QueryProcess(data, {LOG: [SHARD]})
        self.query.advance(LOG, SHARD, shard.size)
        shard.on_commit.append(lambda size: self.query.advance(LOG, SHARD, size))

    def grow(self, count: int) -> None:
        """Puts events into the shard; returns once they are durable."""
        first = self.shard.size
        lines = b"\n".join(event(number) for number in range(first, first + count))
        self.shard.submit(Batch(kernel.pack_lines(lines, HEADER))).result()

    async def indexed(self, count: int) -> None:
        """Waits until so many entries are searchable."""
        await until(self.is_indexed, count)

    async def is_indexed(self, count: int) -> bool:
        status = await self.query.status()
        return bool(status["logs"][LOG]["shards"][SHARD]["indexed"] == count)


async def until(condition: Callable[..., Awaitable[bool]], *arguments: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if await condition(*arguments):
                    return
            except Unavailable:
                pass
            await asyncio.sleep(0.02)


@asynccontextmanager
async def house(data: Path) -> AsyncIterator[House]:
    signer = Signer(f"muniment.local/{LOG}/{SHARD}", bytes(range(32)))
    directory = data / "logs" / LOG / SHARD
    if not directory.exists():
        directory.parent.mkdir(parents=True)
        Shard.create(directory, signer)
    shard = Shard.open(directory, signer, log=LOG)
    made = House(data, shard)
    await made.query.start()
    try:
        yield made
    finally:
        await made.query.close()
        shard.close()


def test_what_is_durable_is_found(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.grow(20)
            await home.indexed(20)
            found = await home.query.search(LOG, "actor:user3", limit=2)
            assert [row["index"] for row in found["rows"]] == [17, 10]
            assert found["indexed"] == {SHARD: 20}
            assert (found["lag"], found["partial"]) == (0, False)
            rest = await home.query.search(LOG, "actor:user3", limit=2, cursor=found["next"])
            assert [row["index"] for row in rest["rows"]] == [3]
            assert rest["next"] is None
            counted = await home.query.histogram(LOG, "-actor:user3", buckets=5)
            assert counted["total"] == 17
            answer = await home.query.sql("SELECT count(*) FROM events", log=LOG)
            assert answer["rows"] == [[20]]
            assert (await home.query.status())["logs"][LOG]["state"] == "ready"
        assert check_index(tmp_path / "index" / LOG) == []

    run(work())


def test_times_are_numbers_or_text(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.grow(3)
            await home.indexed(3)
            for start, end, count in [
                ("2026-03-01", "2026-03-02", 3),
                ("2026-03-01T10:00:01Z", None, 0),
                (None, 1_772_359_200_000, 0),
                (1_772_359_200_000, 1_772_359_200_001, 3),
            ]:
                found = await home.query.search(LOG, start=start, end=end)
                assert len(found["rows"]) == count
            with pytest.raises(QueryError):
                await home.query.search(LOG, start="yesterday")

    run(work())


def test_mistakes_come_back_as_the_errors_that_they_are(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            with pytest.raises(QueryError, match="column 1: there is no field 'nofield'"):
                await home.query.search(LOG, "nofield:1")
            with pytest.raises(UnknownLog):
                await home.query.search("none")
            with pytest.raises(QueryError, match="too long"):
                await home.query.search(LOG, "x" * (2 << 20))
            with pytest.raises(QueryError):
                await home.query.sql("DROP TABLE events", log=LOG)
            with pytest.raises(UnknownLog):
                await home.query.sql("SELECT 1", log=[LOG, "none"])

    run(work())


@pytest.mark.parametrize(
    "error", [QueryError("q"), UnknownLog("u"), Overloaded("o", retry_after=7), Unavailable("v")]
)
def test_errors_survive_the_channel(error: MunimentError) -> None:
    again = read_error(orjson.loads(orjson.dumps(error_message(error))))
    assert type(again) is type(error)
    assert (again.detail, getattr(again, "retry_after", 0)) == (
        error.detail,
        getattr(error, "retry_after", 0),
    )


def test_a_tail_waits_for_what_comes(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.grow(5)
            await home.indexed(5)
            nothing = await home.query.tail(LOG, wait=0)
            assert (nothing["rows"], nothing["after"]) == ([], {SHARD: 4})
            waiting = asyncio.create_task(
                home.query.tail(LOG, "actor:user0", after=nothing["after"], wait=PATIENCE)
            )
            await asyncio.sleep(0.05)
            home.grow(2)
            assert not waiting.done()
            home.grow(3)
            found = await waiting
            assert [row["index"] for row in found["rows"]] == [7]

    run(work())


def test_a_process_that_dies_is_started_again_and_misses_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.grow(10)
            await home.indexed(10)
            first = home.query.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            home.grow(10)

            async def again() -> bool:
                return home.query.pid not in (None, first) and await home.is_indexed(20)

            await until(again)
            found = await home.query.search(LOG, limit=100)
            assert sorted(row["index"] for row in found["rows"]) == list(range(20))

    run(work())


def test_questions_that_the_process_dies_on_fail(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            assert home.query.pid is not None
            statement = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
            asked = asyncio.create_task(home.query.sql(statement, log=LOG))
            await asyncio.sleep(0.2)
            os.kill(home.query.pid, signal.SIGKILL)
            with pytest.raises(Unavailable, match="has ended"):
                await asked

    run(work())


def test_too_many_questions_at_once_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MAX_WAITING", 3)

    async def work() -> None:
        async with house(tmp_path) as home:
            home.grow(1)
            questions = [home.query.search(LOG) for _ in range(10)]
            answers = await asyncio.gather(*questions, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, Overloaded)]
            assert len(refused) == 7
            assert len([answer for answer in answers if isinstance(answer, dict)]) == 3

    run(work())


def test_a_process_that_cannot_start_leaves_search_unavailable(tmp_path: Path) -> None:
    async def work() -> None:
        query = QueryProcess(tmp_path, {}, command=[sys.executable, "-c", "raise SystemExit(3)"])
        await query.start()
        with pytest.raises(Unavailable):
            await query.search(LOG)
        await query.close()

    run(work())


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    async def work() -> int:
        async with house(tmp_path) as home:
            assert home.query.pid is not None
            return home.query.pid

    pid = run(work())
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_process_neither_doubles_nor_loses_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills it at random moments under load, while it flushes as often as it can."""
    monkeypatch.setattr(channel_module, "_LAST_DELAY", 0.1)
    draw = random.Random(20)
    code = (
        "from muniment.index import follower, merge\n"
        "follower.Follower.__init__.__kwdefaults__.update(flush_rows=50, flush_seconds=0.01)\n"
        "merge.FAN_IN = 3\n"
        "from muniment.index import table\n"
        "table._CHECKPOINT_EVERY = 5\n"
        "follower._MERGE_SECONDS = 0.01\n"
        "from muniment.query.process import main\n"
        "main()\n"
    )

    async def work() -> None:
        async with house(tmp_path) as home:
            await home.query.close()
            home.query = QueryProcess(
                tmp_path, {LOG: [SHARD]}, command=[sys.executable, "-c", code]
            )
            home.query.advance(LOG, SHARD, home.shard.size)
            await home.query.start()
            for _ in range(KILLS):
                started = home.query.pid
                for _ in range(draw.randrange(2, 25)):
                    home.grow(draw.randrange(1, 40))
                    await asyncio.sleep(draw.random() * 0.03)
                if started is not None:
                    os.kill(started, signal.SIGKILL)

                async def again(before: int | None = started) -> bool:
                    return home.query.pid not in (None, before)

                await until(again)
            total = home.shard.size
            await home.indexed(total)
            counts = "SELECT count(*), count(DISTINCT index), min(index), max(index) FROM events"
            answer = await home.query.sql(counts, log=LOG)
            assert answer["rows"] == [[total, total, 0, total - 1]]
            wrong = (
                "SELECT count(*) FROM events WHERE NOT contains(raw_data, '\"/' || index || '\"')"
            )
            assert (await home.query.sql(wrong, log=LOG))["rows"] == [[0]]

    run(work())
    assert check_index(tmp_path / "index" / LOG) == []


def test_the_lag_is_known_without_asking(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.grow(20)
            await home.indexed(20)
            await until(_is, lambda: home.query.lag(LOG) == 0)
            home.query.advance(LOG, SHARD, 25)  # which the process has not been told yet
            assert home.query.lag(LOG) == 5
            assert home.query.lag("none") is None

    run(work())


def test_there_is_no_lag_where_nothing_is_followed(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.grow(20)
            await until(_is, lambda: home.query.lag(LOG) == 0)
            assert home.query.pid is not None
            os.kill(home.query.pid, signal.SIGKILL)
            await until(_is, lambda: home.query.lag(LOG) is None)
            await until(_is, lambda: home.query.lag(LOG) == 0)

    run(work())
    manifest = tmp_path / "index" / LOG / "SHA256SUMS"
    manifest.write_bytes(manifest.read_bytes().replace(b"0", b"1"))

    async def damaged() -> None:
        async with house(tmp_path) as home:
            await until(_is, lambda: home.query.indexed(LOG) == {})
            await asyncio.sleep(0.5)
            assert home.query.lag(LOG) is None

    run(damaged())


def test_a_process_that_hangs_is_not_following(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_SILENCE_SECONDS", 2.0)

    async def work() -> None:
        async with house(tmp_path) as home:
            await until(_is, lambda: home.query.lag(LOG) == 0)
            assert home.query.pid is not None
            os.kill(home.query.pid, signal.SIGSTOP)
            try:
                await until(_is, lambda: home.query.lag(LOG) is None)
            finally:
                os.kill(home.query.pid, signal.SIGCONT)
            await until(_is, lambda: home.query.lag(LOG) == 0)

    run(work())


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()
