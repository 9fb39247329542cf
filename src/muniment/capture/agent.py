"""The agent: a thread for each feed and each watcher, one that ships, one for its own events.

What fails is started again with growing pauses, and that it fails is an event. The agent ends when
`stopping` is set: the feeds stop, the heads are signed, what can be sent in a few seconds is sent,
and the rest waits in the spool.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from random import Random
from threading import Event, Thread

from muniment import __version__
from muniment.capture import keys
from muniment.capture.endpoint import Endpoint
from muniment.capture.health import Boot, Health
from muniment.capture.port import Feed, Outlet, Stopped, Watcher
from muniment.capture.redaction import Redact, redactor
from muniment.capture.section import KINDS
from muniment.capture.settings import AgentSettings
from muniment.capture.ship import Shipper
from muniment.capture.spool.spool import HEALTH, Spool
from muniment.capture.status import write_status
from muniment.clock import Clock, SystemClock
from muniment.errors import MunimentError, SettingsError
from muniment.log.disk import Disk, PosixDisk
from muniment.log.note import Signer

SHIP_SECONDS = 5.0
"""How long the agent goes on sending when it is to end."""

JOIN_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
STATUS_SECONDS = 1.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """Something that runs in a thread of its own until the agent ends."""

    name: str
    run: Callable[[Outlet, Event], None]
    close: Callable[[], None] = lambda: None


class Agent:
    """One agent on one state directory."""

    def __init__(
        self,
        settings: AgentSettings,
        config: bytes,
        *,
        clock: Clock | None = None,
        disk: Disk | None = None,
        random: Random | None = None,
    ) -> None:
        """Claims the state directory and opens the spool. Raises SettingsError, OSError, Corrupt.

        `config` is the text of the configuration: when it changes, that is an event.
        """
        self.settings = settings
        self._clock = clock or SystemClock()
        disk = disk or PosixDisk()
        self._lock = claim(settings.state, disk)
        self.signer = keys.signer(settings.state, settings.name)
        redact = redactor(keys.redaction_key(settings.state))
        self._parts = list(_parts(settings, redact, self._clock, self.signer))
        self._boot = Boot(__version__, sha256(config).hexdigest())
        self.health = Health(
            self.signer, lambda: self.spool.heads(), self._clock, heads_every=settings.heads_every
        )
        self.spool = Spool(
            settings.state / "spool",
            settings.name,
            disk,
            limit=settings.spool_max,
            parcel_bytes=settings.parcel_bytes,
            note=self.health.note,
        )
        self.shipper = Shipper(
            self.spool.outgoing,
            [Endpoint(url, settings) for url in settings.endpoints],
            self.health.note,
            self._clock,
            random or Random(),  # noqa: S311 (jitter)
        )

    def run(self, stopping: Event) -> None:
        """Runs until `stopping` is set, and ends everything in order."""
        shipping = Thread(target=self.shipper.run, name="ship", daemon=True)
        shipping.start()
        self.health.started(self.spool, self._boot)
        ending = Event()
        threads = [self._start(part, stopping) for part in self._parts]
        health = Thread(
            target=self.health.run, args=(self.spool, ending), name="health", daemon=True
        )
        health.start()
        while not stopping.wait(STATUS_SECONDS):
            self._write_status()
            if not (shipping.is_alive() and health.is_alive() and self.spool.alive):
                raise RuntimeError("a thread of the agent ended: start the agent again")
        self.spool.stop()
        for thread in threads:
            thread.join(JOIN_SECONDS)
        ending.set()
        health.join(JOIN_SECONDS)
        try:
            self.health.stopped(self.spool, self._boot)
        except Stopped:
            _logger.warning("the spool is full: the agent stops without saying so")
        self.shipper.end(SHIP_SECONDS)
        shipping.join(SHIP_SECONDS + self.settings.timeout)
        self._write_status()
        self._close()

    def _start(self, part: Part, stopping: Event) -> Thread:
        thread = Thread(target=self._keep, args=(part, stopping), name=part.name, daemon=True)
        thread.start()
        return thread

    def _keep(self, part: Part, stopping: Event) -> None:
        """Runs a part, again and again where it fails."""
        pause, failing = FIRST_PAUSE, ""
        while not stopping.is_set():
            began = self._clock.monotonic()
            try:
                part.run(self.spool, stopping)
                return
            except Stopped:
                return
            except (MunimentError, OSError) as error:
                said = str(error)
                _logger.warning("%s: %s", part.name, said)
            except Exception as error:  # a defect of one part must not end the others
                said = f"{type(error).__name__}: {error}"
                _logger.exception("%s failed", part.name)
            if self._clock.monotonic() - began > 2 * LONGEST_PAUSE:
                pause, failing = FIRST_PAUSE, ""
            if said != failing:
                failing = said
                self.health.note("capture.feed_failing", stream=part.name, detail=said[:1_000])
            stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _write_status(self) -> None:
        try:
            write_status(self.settings, self.spool, self.shipper, self._clock)
        except OSError as error:
            _logger.warning("the status cannot be written: %s", error)

    def _close(self) -> None:
        for part in self._parts:
            part.close()
        self.spool.close()
        os.close(self._lock)


def claim(state: Path, disk: Disk) -> int:
    """Makes and locks the state directory; returns the lock. Raises SettingsError."""
    try:
        disk.make_directory(state)
        state.chmod(0o700)
        lock = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"{error.filename or state}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise SettingsError(f"{state} is in use: another agent runs on it") from None
    return lock


def _parts(settings: AgentSettings, redact: Redact, clock: Clock, signer: Signer) -> Iterator[Part]:
    """Every feed and every watcher. Raises SettingsError where two have the same stream."""
    seen = {HEALTH: "the agent's own events"}
    for kind in KINDS:
        for section in settings.sections(kind):
            for part in _parts_of(kind, section, redact, settings, clock, signer):
                place = f"{kind}.{section.name}"
                if part.name in seen:
                    raise SettingsError(
                        f"{place}: its stream is {part.name!r}, as that of {seen[part.name]}: "
                        "give it another name"
                    )
                seen[part.name] = place
                yield part


def _parts_of(
    kind: str,
    section: object,
    redact: Redact,
    settings: AgentSettings,
    clock: Clock,
    signer: Signer,
) -> Iterator[Part]:
    module = import_module(KINDS[kind])
    if hasattr(module, "watchers"):
        from muniment.capture.watch import Watch

        watchers: Iterable[Watcher] = module.watchers(section, redact)
        for watcher in watchers:
            yield _watching(Watch, watcher, settings.state / "known", clock, signer)
    if hasattr(module, "feeds"):
        feeds: Iterable[Feed] = module.feeds(section)
        for feed in feeds:
            yield Part(feed.stream, feed.run)


def _watching(watch: type, watcher: Watcher, known: Path, clock: Clock, signer: Signer) -> Part:
    def run(outlet: Outlet, stopping: Event) -> None:
        watch(watcher, outlet, known, clock, signer=signer).run(stopping)

    return Part(watcher.name, run, watcher.close)
