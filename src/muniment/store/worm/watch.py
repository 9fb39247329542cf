"""The check of one store on a schedule: what became worse is an alert and an entry."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import orjson

from muniment.clock import Clock
from muniment.errors import MunimentError, Unavailable
from muniment.log.disk import Disk, write_file
from muniment.store.worm.verdict import Probe, Report, Verdict

MAX_BOOKS = 8 << 20
MAX_NAMED = 20
PUT_SECONDS = 60.0
"""How long the log may take for the record of a check; then the check is tried again."""

RETRY = timedelta(minutes=15)
"""A check that could not be made is tried again after so long, or its interval if that is less."""

Check = Callable[[], Report]
"""Checks the store; blocks. Raises MunimentError where it cannot be looked at."""

Put = Callable[[Sequence[dict[str, object]]], Awaitable[None]]
"""Makes records durable in a log; see muniment.watch.commit.Committer."""

_logger = logging.getLogger(__name__)


class WormWatch:
    """Checks one store now and then. All methods belong to the event loop.

    `books` is the file with the last report, so that a drift is seen over a restart too; it can be
    lost. `put` writes records into the log that is told.
    """

    def __init__(
        self,
        store: str,
        check: Check,
        put: Put,
        books: Path,
        *,
        clock: Clock,
        disk: Disk,
        interval: timedelta,
    ) -> None:
        self.store = store
        self._check, self._put, self._books = check, put, books
        self._clock, self._disk, self._interval = clock, disk, interval
        self._task: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()
        self._on_record: dict[str, Any] | None = _read(books)
        self._last = self._on_record  # what the log has not taken yet is shown all the same
        self.trouble = ""

    def start(self) -> None:
        """Begins to check: at once where the last check is an interval ago."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends; a check that is under way goes on in its thread and is told to nobody."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @property
    def ok(self) -> bool | None:
        """Whether the last check found every promise kept; None before the first."""
        return None if self._last is None else bool(self._last["ok"])

    @property
    def checked(self) -> float:
        """When the last check ended, in seconds since the epoch; 0 before the first."""
        return 0.0 if self._last is None else float(self._last["seconds"])

    def status(self) -> dict[str, Any]:
        """Returns the last report, what hinders the next one, and how often it is made."""
        last = {} if self._last is None else {k: v for k, v in self._last.items() if k != "seconds"}
        return {
            "store": self.store,
            "checked": self._last is not None,
            "trouble": self.trouble,
            "interval": self._interval.total_seconds(),
            **last,
        }

    async def run_once(self) -> Report:
        """Checks now, tells what was found, puts it on record, and returns it.

        Raises MunimentError where the store cannot be looked at, or the log takes nothing: then
        the next check compares with what is on record, and the log may have a drift twice.
        """
        async with self._one:
            report = await _apart(self._check, f"worm {self.store}")
            found = report.as_json() | {"seconds": self._clock.now().timestamp()}
            _tell(report, self._last)  # before the log has it, which may take long
            self._last = found
            try:
                async with asyncio.timeout(PUT_SECONDS):
                    await self._put([_record(report, self._on_record)])
            except TimeoutError as error:
                raise Unavailable("the log does not take the record of the check") from error
            self._on_record = found
            with suppress(OSError):
                await asyncio.to_thread(self._save, orjson.dumps(found))
            return report

    async def _run(self) -> None:
        due = self.checked + self._interval.total_seconds() - self._clock.now().timestamp()
        await asyncio.sleep(max(0.0, min(due, self._interval.total_seconds())))
        while True:
            pause = self._interval
            try:
                await self.run_once()
                self.trouble = ""
            except MunimentError as error:
                self.trouble, pause = error.detail, min(RETRY, self._interval)
                _logger.warning("worm check of %s: not done: %s", self.store, error.detail)
            except Exception:
                self.trouble, pause = "the check failed within Muniment; its log says why", RETRY
                _logger.exception("worm check of %s failed", self.store)
            await asyncio.sleep(pause.total_seconds() * random.uniform(0.95, 1.0))  # noqa: S311

    def _save(self, books: bytes) -> None:
        self._disk.make_directory(self._books.parent)
        write_file(self._disk, self._books, books, 0o600)


async def _apart(check: Check, name: str) -> Report:
    """Makes a check in a thread of its own, which keeps nobody from ending the process."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Report] = loop.create_future()

    def settle(report: Report | None, error: Exception | None) -> None:
        if waiter.done():
            return
        if report is not None:
            waiter.set_result(report)
        elif error is not None:
            waiter.set_exception(error)

    def run() -> None:
        report, failed = None, None
        try:
            report = check()
        except Exception as error:
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, report, failed)

    Thread(target=run, name=name, daemon=True).start()
    return await waiter


def worse(report: Report, before: dict[str, Any] | None) -> list[Probe]:
    """Returns what is worse than in the report before.

    That is what is broken and was not, and what was kept and cannot be shown any more. Without a
    report before, it is what is broken.
    """
    known = (
        {(one["probe"], one["key"]): one["verdict"] for one in before["probes"]} if before else {}
    )
    return [
        probe
        for probe in report.probes
        if not probe.passing and _is_worse(probe.verdict, known.get((probe.name, probe.key)))
    ]


def _is_worse(verdict: Verdict, before: str | None) -> bool:
    if verdict is Verdict.BROKEN:
        return before != Verdict.BROKEN
    return verdict is Verdict.NOT_SHOWN and before == Verdict.KEPT


def _broken(before: dict[str, Any] | None) -> list[dict[str, str]]:
    probes = before["probes"] if before is not None else []
    return [one for one in probes if one["verdict"] == Verdict.BROKEN.value]


def _record(report: Report, before: dict[str, Any] | None) -> dict[str, object]:
    """The record of a check: `worm.drift`, `worm.restored` or `worm.checked`."""
    drift = worse(report, before)
    restored = report.ok and bool(_broken(before))
    action = "worm.drift" if drift else "worm.restored" if restored else "worm.checked"
    counts = {one.name.lower(): 0 for one in Verdict}
    for probe in report.probes:
        counts[probe.verdict.name.lower()] += 1
    named = [probe.as_json() for probe in (drift or report.broken)[:MAX_NAMED]]
    return {
        "action": action,
        "resource": {"name": report.store, "type": "store"},
        "outcome": "success" if report.ok else "failure",
        "message": _words(report, drift),
        "url": report.url,
        **counts,
        "looked_at": report.looked_at,
        "repaired": report.repaired,
        "probes": named,
    }


def _words(report: Report, drift: Sequence[Probe]) -> str:
    lines = "; ".join(f"{one.tried}: {one.happened}" for one in (drift or report.broken)[:5])
    if not report.ok:
        return f"the store {report.store} does not keep what it promises: {lines}"
    if drift:
        return f"the store {report.store} shows less of its promise than before: {lines}"
    return f"the store {report.store} keeps what it promises, as far as it can be shown"


def _tell(report: Report, before: dict[str, Any] | None) -> None:
    new = worse(report, before)
    for probe in new:
        _logger.error("worm check of %s: worse than before: %s", report.store, probe)
    for probe in report.broken:
        if probe not in new:
            _logger.error("worm check of %s: still broken: %s", report.store, probe)
    if report.ok and _broken(before):
        _logger.warning("worm check of %s: everything is kept again", report.store)


def _read(path: Path) -> dict[str, Any] | None:
    """The last report; None where there is none that can be used."""
    try:
        if path.stat().st_size > MAX_BOOKS:
            return None
        found = orjson.loads(path.read_bytes())
        for probe in found["probes"]:
            Probe.from_json(probe)
        sound = isinstance(found["seconds"], float) and isinstance(found["ok"], bool)
        return found if sound and found["seconds"] >= 0 else None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
