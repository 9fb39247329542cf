"""Puts objects of HAProxy back: over its stats socket, and files with a checked reload.

What the stats socket changes lives in the process until the next reload; what outlives that stands
in the configuration files, which are objects of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from muniment.balancer.haproxy import StatsSocket, Unreachable
from muniment.capture.redaction import Redact
from muniment.capture.snapshot import ObjectName, Snapshot, State
from muniment.capture.systems.haproxy import HAProxyWatcher, Settings
from muniment.errors import MunimentError
from muniment.rollback import haproxy_commands as commands
from muniment.rollback import haproxy_patterns as patterns
from muniment.rollback.haproxy_acts import Act
from muniment.rollback.haproxy_certificates import certificate
from muniment.rollback.haproxy_files import ConfigFiles
from muniment.rollback.port import Applier, ApplyFailed, CannotRollBack, Step


def applier(settings: Settings, redact: Redact) -> Applier:
    """Returns the applier of a section."""
    return HAProxyApplier(settings, redact)


class HAProxyApplier:
    """Puts objects of one HAProxy back."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self._watcher = HAProxyWatcher(settings, redact)
        self._socket = StatsSocket(settings.socket, settings.timeout)
        self._files = ConfigFiles(settings, self._socket, redact)

    def live(self, name: ObjectName) -> Snapshot | None:
        """Returns the object as the watcher sees it. Raises Unreachable where it cannot."""
        unseen = ""
        for seen in self._watcher.look(name.kind):
            if str(name) in seen.objects:
                return seen.objects[str(name)]
            unseen = unseen or seen.error
        if unseen:
            raise Unreachable(unseen)
        return None

    def plan(self, name: ObjectName, live: Snapshot | None, wanted: State | None) -> Sequence[Step]:
        """Returns the steps; none where all that can be set is as it is wanted."""
        state = live.state if live is not None else None
        if state is None and wanted is None:
            return ()
        match name.kind:
            case "server":
                return commands.server(self._socket, name.name, state, wanted)
            case "frontend":
                return commands.frontend(self._socket, name.name, state, wanted)
            case "process":
                return commands.process(self._socket, state, wanted)
            case "map" | "acl":
                return patterns.plan(self._socket, name.kind, name.name, live, wanted)
            case "certificate":
                return certificate(self._socket, live, wanted)
            case "file":
                return self._files.plan(name.name, live, wanted)
        if state == wanted:
            return ()
        if name.kind == "health":
            raise CannotRollBack("what checks say of a server cannot be set")
        raise CannotRollBack(
            f"a {name.kind} of HAProxy is made by its configuration: roll back the file"
        )

    def apply(self, steps: Sequence[Step]) -> list[str]:
        """Does the steps; where one fails, those before it are taken back in reverse."""
        answers: list[str] = []
        done: list[Step] = []
        for step in steps:
            try:
                assert isinstance(step.data, Act)
                answers.append(step.data.do())
            except MunimentError as error:
                back = "; ".join(map(_taken_back, reversed(done)))
                raise ApplyFailed(
                    f"{step.does}: {error.detail}{f'; taken back: {back}' if back else ''}"
                ) from error
            done.append(step)
        return answers

    def close(self) -> None:
        self._watcher.close()


def _taken_back(step: Step) -> str:
    assert isinstance(step.data, Act)
    if step.data.undo is None:
        return f"{step.does}: cannot be taken back"
    try:
        step.data.undo()
    except MunimentError as error:
        return f"{step.undo}: failed: {error.detail}"
    return step.undo
