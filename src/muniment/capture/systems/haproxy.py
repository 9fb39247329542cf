"""Watches one HAProxy through its stats socket, and the files of its configuration."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from glob import glob
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from muniment.balancer import haproxy
from muniment.balancer.haproxy import PatternFile, Refused, StatsSocket
from muniment.capture.port import Counter, Observation, Watcher
from muniment.capture.redaction import Redact
from muniment.capture.section import Watched
from muniment.capture.snapshot import Snapshot
from muniment.capture.systems import haproxy_state as made
from muniment.capture.systems.files import Globs, Looked, OnePath, Patterns
from muniment.capture.systems.haproxy_counters import counters as counters_of
from muniment.capture.systems.haproxy_logging import Logging, frontends
from muniment.capture.systems.haproxy_state import Row
from muniment.capture.systems.looking import counted
from muniment.errors import MunimentError

SYSTEM = "haproxy"
MAX_CERTIFICATES = 2_000
MAX_PATTERN_FILES = 2_000
MAX_CONFIG_FILES = 1_000
MAX_CONFIG = 8 << 20
LARGE_EVERY = 60.0
"""Seconds between looks at a map or an ACL with more entries than are captured one by one."""

_ADDRESS = re.compile(r":[0-9]+\Z")
"""How an address ends that is no path: HOST:PORT."""

_SSL = {"certificate": "cert", "ca-file": "ca-file", "crl-file": "crl-file"}
"""Kinds of objects, and what `show ssl` calls them."""


def _socket(given: str, info: ValidationInfo) -> str:
    """A path is taken from the folder of the configuration, as all paths are."""
    folder = (info.context or {}).get("folder")
    place = given.removeprefix("unix@")
    if folder is None or _ADDRESS.search(place):
        return given
    return str((Path(folder) / place).absolute())


class Settings(Watched):
    """A section `[[haproxy]]`."""

    socket: Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(_socket)] = Field(
        description="The stats socket: a path, or HOST:PORT. Rollbacks need level `admin`."
    )
    files: Patterns = Field(
        default=(), description="Configuration files and what they include, by path or pattern."
    )
    match: str = Field(
        default="",
        max_length=1_024,
        description="A query that finds the entries of this instance, such as `source:lb1`, "
        "where several instances with frontends of the same names log to the same log.",
    )
    unlogged: tuple[str, ...] = Field(
        default=(), description="Frontends that write no log lines: they are not counted."
    )
    null_logged: tuple[str, ...] = Field(
        default=(),
        description="Frontends without `option dontlognull`, which log connections without a byte. "
        "Not needed for those that are found in `config`.",
    )
    monitored: tuple[str, ...] = Field(
        default=(),
        description="Frontends with a `monitor-uri`, whose requests are counted and never logged. "
        "Not needed for those that are found in `config`.",
    )
    timeout: float = Field(
        default=5.0, ge=0.1, le=60, description="Seconds that an answer of the socket may take."
    )
    config: Patterns = Field(
        default=(),
        description="The files that HAProxy is started with (`-f`), in their order. Without it, "
        "those of `files` that end in `.cfg`.",
    )
    check: tuple[str, ...] = Field(
        default=("haproxy", "-c"),
        min_length=1,
        description="The command that checks a configuration; `-f FILE` of each file is added.",
    )
    reload: tuple[str, ...] = Field(
        default=(), description="The command that makes HAProxy load its configuration anew."
    )
    pid_file: OnePath = Field(
        default="", description="Of the master process, which is sent SIGUSR2 without `reload`."
    )
    reload_seconds: float = Field(
        default=30.0, ge=1, le=600, description="How long a reload may take."
    )


def watchers(settings: Settings, redact: Redact) -> list[Watcher]:
    """Returns the watcher of a section."""
    return [HAProxyWatcher(settings, redact)]


@dataclass(slots=True)
class _Large:
    """A map or an ACL that is too large to be read at each look."""

    due: float
    snapshot: Snapshot


class HAProxyWatcher:
    """Looks at one HAProxy."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self.name = f"{SYSTEM}:{settings.name}"
        self.every = settings.every
        self._settings, self._redact = settings, redact
        self._socket = StatsSocket(settings.socket, settings.timeout)
        self._files = Globs(settings.files, redact)
        self._large: dict[str, _Large] = {}
        self._started: tuple[str, int] = ("", 0)
        self._habits: tuple[str, Mapping[str, Logging]] = ("", {})

    def observe(self) -> Iterator[Observation]:
        """Looks at each scope; what one cannot tell does not keep the others from being seen."""
        yield from self._processes()
        for kind in ("certificate", "ca-file", "crl-file", "map", "acl", "file"):
            yield from self.look(kind)

    def look(self, kind: str) -> Iterator[Observation]:
        """Looks at what objects of one kind are seen with."""
        if kind in _SSL:
            yield from self._guarded(f"{kind}s", partial(self._ssl, kind))
        elif kind in ("map", "acl"):
            yield from self._guarded(f"{kind}s", partial(self._patterns, kind))
        elif kind == "file":
            for scope, looked in self._files.look():
                yield _files(self.name, scope, looked)
        else:
            yield from self._processes()

    def close(self) -> None:
        """There is nothing to let go of: a connection ends with its answer."""

    def _processes(self) -> Iterator[Observation]:
        """What one process says must be of one process: asked again where it was replaced."""
        scopes = ("process", "doors", "counters", "servers", "health")
        try:
            for _ in range(3):
                info = haproxy.info(self._socket.ask("show info"))
                stats = list(haproxy.stat(self._socket.ask("show stat")))
                fronts, at, failed = counted(self._frontends)
                states = list(haproxy.servers(self._socket.ask("show servers state")))
                after = haproxy.info(self._socket.ask("show info"))
                if after.get("Pid") == info.get("Pid"):
                    break
        except MunimentError as error:
            for scope in scopes:
                yield Observation(scope, error=error.detail)
            return
        if not info.get("Pid"):
            said = "show info: the answer has no Pid"
            yield from (Observation(scope, error=said) for scope in scopes)
            return
        yield Observation("process", {f"{self.name}/process/settings": made.process(info)})
        yield Observation("doors", self._named(made.doors(stats)))
        counters = [] if fronts is None else self._counters(fronts, info)
        yield Observation("counters", counters=counters, counted=at, error=failed)
        yield Observation("servers", self._named(made.servers(states, stats)))
        yield Observation("health", self._named(made.health(states, stats)))

    def _frontends(self) -> list[Row]:
        """The counters alone: few lines, also where there are thousands of servers."""
        return list(haproxy.stat(self._socket.ask("show stat -1 1 -1")))

    def _counters(self, fronts: Iterable[Row], info: Mapping[str, str]) -> list[Counter]:
        dropped = made.number(info.get("DroppedLogs", ""))
        logged = [row for row in fronts if row.get("pxname") not in self._settings.unlogged]
        epoch = self._epoch(info)
        habits = self._logging(epoch)
        return list(counters_of(logged, epoch, self._settings.match, dropped, habits))

    def _named(self, found: Iterator[tuple[str, Snapshot]]) -> Mapping[str, Snapshot]:
        return {f"{self.name}/{own}": snapshot for own, snapshot in found}

    def _epoch(self, info: Mapping[str, str]) -> str:
        """Which process counts: its id and its start, which older versions tell by its age."""
        pid = info["Pid"]
        started = made.number(info.get("Start_time_sec", "").partition(".")[0])
        if started is None:
            age = made.number(info.get("Uptime_sec", "").partition(".")[0]) or 0
            started = int(time.time()) - age
            if self._started[0] == pid and abs(self._started[1] - started) <= 2:
                started = self._started[1]
        self._started = (pid, started)
        return f"{pid}@{started}"

    def _logging(self, epoch: str) -> Mapping[str, Logging]:
        """What frontends log: read when there is a new process, which read the same just now."""
        if self._habits[0] != epoch:
            given = self._settings
            found = frontends(
                _texts(given.config or [f for f in given.files if f.endswith(".cfg")])
            )
            for name in given.null_logged:
                found[name] = replace(found.get(name, Logging(null=False)), null=True)
            for name in given.monitored:
                found[name] = replace(found.get(name, Logging(null=False)), monitor=True)
            self._habits = (epoch, found)
        return self._habits[1]

    def _guarded(
        self, scope: str, look: Callable[[], Iterable[tuple[str, Snapshot]]]
    ) -> Iterator[Observation]:
        try:
            objects = {f"{self.name}/{own}": snapshot for own, snapshot in look()}
        except Refused as error:
            if "Unknown command" not in error.detail:
                yield Observation(scope, error=error.detail)
        except MunimentError as error:
            yield Observation(scope, error=error.detail)
        else:
            yield Observation(scope, objects)

    def _ssl(self, kind: str) -> Iterator[tuple[str, Snapshot]]:
        word = _SSL[kind]
        listed = [name for name, _ in haproxy.listed(self._socket.ask(f"show ssl {word}"))]
        files = [name for name in listed if not name.startswith(("*", "@"))]
        if len(files) > MAX_CERTIFICATES:
            raise Refused(f"{len(files):,} files of certificates: more than are looked at")
        for file in files:
            text = self._socket.ask(f"show ssl {word} {haproxy.word(file)}")
            state = made.certificate(text) if word == "cert" else made.authorities(text)
            if state is not None:
                yield f"{kind}/{made.bare(file)}", Snapshot(state, names=[file])

    def _patterns(self, kind: str) -> Iterator[tuple[str, Snapshot]]:
        files = list(haproxy.pattern_files(self._socket.ask(f"show {kind}")))
        if len(files) > MAX_PATTERN_FILES:
            raise Refused(f"{len(files):,} files of patterns: more than are looked at")
        for file in files:
            if not file.own:
                own = f"{kind}/{made.bare(file.file) or file.id}"
                yield own, self._entries(kind, own, file)

    def _entries(self, kind: str, own: str, file: PatternFile) -> Snapshot:
        now = time.monotonic()
        large = self._large.get(own)
        if large is not None and now < large.due:
            return large.snapshot
        text = self._socket.ask(f"show {kind} #{file.id}")
        snapshot = made.entries(kind, file, text, self._redact)
        if "sha256" in snapshot.state:
            self._large[own] = _Large(now + LARGE_EVERY, snapshot)
        else:
            self._large.pop(own, None)
        return snapshot


def _texts(patterns: Iterable[str]) -> Iterator[str]:
    """The files of a configuration, as far as they can be read."""
    for pattern in patterns:
        for path in sorted(glob(pattern, recursive=True))[:MAX_CONFIG_FILES]:  # noqa: PTH207
            with suppress(OSError), Path(path).open(encoding="utf-8", errors="replace") as file:
                yield file.read(MAX_CONFIG)


def _files(name: str, scope: str, looked: Looked) -> Observation:
    objects = {f"{name}/file/{own}": snapshot for own, snapshot in looked.files.items()}
    return Observation(scope, objects, error=looked.error)
