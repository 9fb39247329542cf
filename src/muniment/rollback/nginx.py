"""Puts files of an NGINX configuration back: checked by `nginx -t`, loaded, and seen to be loaded.

What is checked is the whole configuration as it would be, written as one file beside the main one:
no file of NGINX's is touched before it has passed. Servers, upstreams and contexts are views of
files and are put back with them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from muniment.balancer import nginx_process
from muniment.balancer.nginx import expanded, flat, read_tree
from muniment.balancer.pages import NotSeen
from muniment.capture.redaction import Redact
from muniment.capture.snapshot import ObjectName, Snapshot, State
from muniment.capture.systems.nginx import Configuration, Settings, file_snapshot, pid_path
from muniment.capture.systems.nginx_secrets import restored
from muniment.rollback.files import FileChange, draft, read_bounded, replace
from muniment.rollback.port import ApplyFailed, CannotRollBack, Step

RELOAD_SECONDS = 20.0
"""How long NGINX may take to start new workers."""


def applier(settings: Settings, redact: Redact) -> NginxApplier:
    """Returns the applier of an NGINX."""
    return NginxApplier(settings, redact)


class NginxApplier:
    """Puts files of one NGINX back."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self._settings, self._redact = settings, redact

    def live(self, name: ObjectName) -> Snapshot | None:
        """Returns a file of the configuration as it is now. Raises CannotRollBack, NotSeen."""
        path, now = _path(name), self._read()
        if path in now.tree.files:
            return file_snapshot(path, now.tree.files[path], now.concealed[path].text)
        raw = read_bounded(Path(path))
        if raw is None:
            return None
        raise CannotRollBack(f"{path} is there, but NGINX's configuration does not include it")

    def plan(
        self,
        name: ObjectName,
        live: Snapshot | None,  # noqa: ARG002 (the bytes are read again: live has no secrets)
        wanted: State | None,
    ) -> Sequence[Step]:
        """Returns the steps; the configuration that they lead to has passed `nginx -t`.

        Raises CannotRollBack, NotSeen.
        """
        path, now = _path(name), self._read()
        if path == now.tree.main and wanted is None:
            raise CannotRollBack("without its main file NGINX has no configuration")
        file = now.tree.files.get(path)
        content = None if wanted is None else self._content(wanted, now)
        old = file.raw if file is not None else None
        if content == old:
            return ()
        change = FileChange(Path(path), content, old, _mode(wanted))
        self._check(change)
        if content is None:
            does, undo = f"remove {path}", f"write {path} as it is now"
        elif old is None:
            does, undo = f"write {path} ({len(content)} bytes)", f"remove {path}"
        else:
            does = f"replace {path} ({len(old)} bytes) by what it was ({len(content)} bytes)"
            undo = f"write {path} as it is now"
        running = self._running()
        then = "reload NGINX" if running else "NGINX does not run: nothing is loaded"
        return (Step(f"{does}, checked by nginx -t; {then}", f"{undo}; {then}", change),)

    def apply(self, steps: Sequence[Step]) -> list[str]:
        """Does the steps. Raises ApplyFailed; then what was done is taken back."""
        answers: list[str] = []
        for step in steps:
            if not isinstance(step.data, FileChange):
                raise ApplyFailed(f"{step.does}: this step was not planned here")
            answers += self._put(step.data)
        return answers

    def _put(self, change: FileChange) -> list[str]:
        loading: list[nginx_process.Running | None] = []

        def load() -> str:
            loading.append(self._running())
            return self._signal(loading[-1])

        return replace(change, lambda _: self._check(change), load, lambda: self._wait(loading[-1]))

    def close(self) -> None:
        """Nothing stays open."""

    def _read(self) -> Configuration:
        now = Configuration(self._settings, self._redact)
        now.read()
        return now

    def _content(self, wanted: State, now: Configuration) -> bytes:
        text, encoding = wanted.get("text"), wanted.get("encoding", "utf-8")
        if not isinstance(text, str) or encoding not in ("utf-8", "latin-1"):
            raise CannotRollBack("the version has no text")
        sources = {
            key: source for one in now.concealed.values() for key, source in one.sources.items()
        }
        whole = restored(text, sources)
        if whole is None:
            raise CannotRollBack(
                "the version has a secret that is not in the live configuration any more: "
                "it was never captured, so it cannot be put back"
            )
        try:
            return whole.encode(str(encoding))
        except UnicodeEncodeError as error:
            raise CannotRollBack(f"the version's text is not {encoding}") from error

    def _check(self, change: FileChange) -> str:
        """Has NGINX check the configuration with the change in it. Raises CannotRollBack."""
        try:
            tree = read_tree(self._settings.config, instead={str(change.path): change.content})
            if change.content is not None and str(change.path) not in tree.files:
                raise CannotRollBack(f"NGINX would not read {change.path}: nothing includes it")
            faults = tree.faults()
            if faults:
                raise CannotRollBack(f"the configuration would be wrong: {faults[0]}")
            text = flat(tree)
        except (NotSeen, RecursionError) as error:
            raise CannotRollBack(f"the configuration would be wrong: {error}") from error
        whole = FileChange(self._settings.config, text, None)
        try:
            with draft(whole) as path:
                done = nginx_process.run(self._command("-t", "-q", "-c", str(path)))
        except (ApplyFailed, NotSeen) as error:
            raise CannotRollBack(f"it cannot be checked: {error.detail}") from error
        told = nginx_process.said(done).strip()
        if done.returncode != 0:
            raise CannotRollBack(f"nginx -t refuses it: {told[-2_000:]}")
        return f"nginx -t: {told or 'passed'}"

    def _command(self, *options: str) -> list[str]:
        return [str(self._settings.binary), *options, "-p", str(self._settings.prefix)]

    def _running(self) -> nginx_process.Running | None:
        directives = expanded(read_tree(self._settings.config))
        return nginx_process.running(pid_path(self._settings, directives))

    def _signal(self, running: nginx_process.Running | None) -> str:
        if running is None:
            return "NGINX does not run: nothing was loaded"
        try:
            os.kill(running.master, signal.SIGHUP)
        except OSError as error:
            raise ApplyFailed(f"NGINX cannot be told to reload: {error.strerror}") from error
        return f"told process {running.master} to reload"

    def _wait(self, before: nginx_process.Running | None) -> str:
        """Waits for workers of another generation. Raises ApplyFailed."""
        if before is None:
            return ""
        deadline = time.monotonic() + RELOAD_SECONDS
        while time.monotonic() < deadline:
            now = self._running()
            if now is None:
                raise ApplyFailed("NGINX does not run any more")
            if now.generation != before.generation:
                return f"new workers are there ({now.generation})"
            time.sleep(0.05)
        raise ApplyFailed(f"NGINX started no new workers within {RELOAD_SECONDS:.0f} s")


def _path(name: ObjectName) -> str:
    if name.kind != "file":
        raise CannotRollBack(
            f"{name} is a view of files: put the file back that it stands in "
            f"(nginx:{name.instance}/file/...)"
        )
    path = f"/{name.name}"
    if os.path.normpath(path) != path:
        raise CannotRollBack(f"{name.name!r} is not a plain path")
    return path


def _mode(wanted: State | None) -> int:
    said = (wanted or {}).get("mode")
    try:
        return int(str(said), 8) & 0o777 if said else 0o644
    except ValueError:
        return 0o644
