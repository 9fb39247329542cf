"""`muniment edge run`: a balancer that follows the description of its fleet.

What is rendered is shown to the balancer first; files that it would not take are never loaded, the
old ones stay, and the log says so until the description is mended.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from muniment.clock import Clock
from muniment.edge.balancer import Balancer, EdgeFailing
from muniment.edge.description import Description, load
from muniment.edge.discovery import Discovery, calls_of
from muniment.edge.files import (
    Stamp,
    certificates,
    check_own,
    content,
    present,
    put_in_place,
    stage,
    stamp,
)
from muniment.edge.parts import Node
from muniment.edge.tries import Tries
from muniment.errors import MunimentError
from muniment.fleet.calls import Calls

LOOK_SECONDS = 0.5
REMIND_SECONDS = 60.0
_logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps one balancer running as a description says. `run` is for one thread."""

    def __init__(self, fleet: Path, directory: Path, balancer: Balancer, clock: Clock) -> None:
        self._fleet, self._directory = fleet, directory
        self._balancer, self._clock = balancer, clock
        self._description: Description | None = None
        self._seen: Stamp = ()
        self._nodes: Sequence[Node] = ()
        self._calls: Calls | None = None
        self._discovery: Discovery | None = None
        self._workers = ThreadPoolExecutor(16, "ask")
        self._asked = float("-inf")
        self._loaded, self._owed = "", False
        self._drained: frozenset[str] = frozenset()
        self._trouble, self._told = "", float("-inf")
        self._starts, self._reloads = Tries(clock), Tries(clock)

    def run(self, stopping: Event, again: Event) -> None:
        """Runs until `stopping` is set; `again` asks for a reload now.

        Raises SettingsError, EdgeFailing or NoBinary where the first start does not work out.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_own(self._directory)
        self.prepare()
        self._balancer.start()
        _logger.info("%s runs in %s", self._balancer.name, self._directory)
        self._drain(force=True)
        try:
            while not stopping.wait(LOOK_SECONDS):
                force = again.is_set()
                again.clear()
                self.look_guarded(force=force)
        finally:
            seconds = float(self._description.limits.stop) if self._description else 0.0
            _logger.info("%s is told to end, in %.0f s at most", self._balancer.name, seconds)
            self._balancer.stop(seconds)
            self._workers.shutdown(wait=False, cancel_futures=True)
            if self._calls is not None:
                self._calls.close()

    def prepare(self) -> None:
        """Reads the description and puts the files in place, for the first start.

        Raises SettingsError, EdgeFailing or NoBinary.
        """
        self._read()
        self._ask()
        self._render(force=True)

    def look_guarded(self, *, force: bool = False) -> None:
        """As `look`; what goes wrong is told, and tried again at the next look."""
        try:
            self.look(force=force)
            self._trouble = ""
        except MunimentError as error:
            self._tell(error.detail)
        except OSError as error:
            self._tell(str(error))
        except Exception as error:  # a fault here must not end the balancer, which serves on
            if self._tell(f"a defect: {type(error).__name__}; the balancer goes on as it is"):
                _logger.exception("the look failed")

    def look(self, *, force: bool = False) -> None:
        """Looks once at the description, the certificates, the members and the process."""
        if not self._balancer.running:
            self._restart()
            return
        if force or self._changed():
            self._read()
        self._ask()
        if self._render(force=force or (self._owed and self._reloads.is_due())):
            self._owed = True  # until it has worked: the files alone say nothing of that
            self._reloads.begin()
            self._balancer.reload()
            self._reloads.worked()
            self._owed = False
            _logger.info("%s has loaded its files anew", self._balancer.name)
            self._drain(force=True)
        self._drain()

    def _changed(self) -> bool:
        watched = certificates(self._description) if self._description else []
        return stamp([self._fleet, *watched]) != self._seen

    def _read(self) -> None:
        """Reads the description; a bad one leaves the one before in place."""
        before = self._description
        watched = certificates(before) if before else []
        self._seen = stamp([self._fleet, *watched])
        found = load(self._fleet)
        if before is None or (found.members, found.tls) != (before.members, before.tls):
            self._follow(found)
        for lack in found.lacking():
            _logger.warning("%s", lack)
        self._description = found
        self._seen = stamp([self._fleet, *certificates(found)])

    def _follow(self, description: Description) -> None:
        if self._calls is not None:
            self._calls.close()
        self._calls = self._discovery = None
        self._asked = float("-inf")
        if description.members is not None:
            self._calls = calls_of(description.tls, description.members)
            self._discovery = Discovery(description.members, self._calls, self._workers)

    def _ask(self) -> None:
        description = self._description
        if self._discovery is None or description is None or description.members is None:
            self._nodes = ()
            return
        if self._clock.monotonic() - self._asked >= description.members.interval:
            self._nodes = self._discovery.nodes()
            self._asked = self._clock.monotonic()

    def _whole(self) -> Description:
        """The description with the nodes that were found; those it names itself go first."""
        assert self._description is not None
        named = {node.name for node in self._description.node}
        found = [node for node in self._nodes if node.name not in named]
        return self._description.with_nodes([*self._description.node, *found])

    def _render(self, *, force: bool) -> bool:
        """Puts new files in place, if there are any. Raises EdgeFailing for what is refused."""
        description = self._whole()
        files = self._balancer.render(description)
        mark = content(certificates(description))
        if not force and mark == self._loaded and present(self._directory, files):
            return False
        staged = stage(self._directory, files)
        complaint = self._balancer.check(staged)
        if complaint is not None:
            raise EdgeFailing(
                f"{self._balancer.name} refuses what {self._fleet} makes; nothing was loaded, what "
                f"ran before goes on: {complaint}"
            )
        put_in_place(staged, self._directory, files)
        self._loaded = mark
        return True

    def _drain(self, *, force: bool = False) -> None:
        wanted = frozenset(node.name for node in self._whole().node if node.state == "draining")
        if force and not wanted:
            self._drained = wanted
        if wanted == self._drained and not (force and wanted):
            return
        self._balancer.drain(wanted)
        _logger.info("nodes that drain: %s", ", ".join(sorted(wanted)) or "none")
        self._drained = wanted

    def _restart(self) -> None:
        """Starts the balancer anew, after a pause that grows while it does not stay up."""
        if not self._starts.is_due():
            return
        _logger.error("%s is gone; it is started again", self._balancer.name)
        self._starts.begin()
        self._balancer.start()
        self._owed = False  # it has begun with the files that are in place
        self._drain(force=True)
        self._starts.worked()

    def _tell(self, trouble: str) -> bool:
        """Says what is wrong, at once and then once a minute; returns whether it did now."""
        now = self._clock.monotonic()
        due = trouble != self._trouble or now - self._told >= REMIND_SECONDS
        if due:
            _logger.error("%s", trouble)
            self._trouble, self._told = trouble, now
        return due
