"""What a system must be able to do so that its objects can be put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from muniment.capture.snapshot import ObjectName, Snapshot, State
from muniment.errors import MunimentError


class CannotRollBack(MunimentError):
    """This object cannot be put back that way; nothing was changed."""

    status = 422
    slug = "cannot-roll-back"
    title = "It cannot be put back"


class ApplyFailed(MunimentError):
    """The system refused a step; `detail` says which, and what was done about those before."""

    status = 502
    slug = "apply-failed"
    title = "The system refused the change"


@dataclass(frozen=True, slots=True)
class Step:
    """One act, in words that its system's own people know: a command, a file written, a request.

    `undo` is the act that takes it back, empty where there is none. `data` is what the applier
    needs beside the words; it is not recorded.
    """

    does: str
    undo: str = ""
    data: object = None


class Applier(Protocol):
    """Puts objects of one instance back. Every method may block; all raise MunimentError."""

    def live(self, name: ObjectName) -> Snapshot | None:
        """Returns the object as it is now, made just as the watcher makes it; None: not there."""

    def plan(self, name: ObjectName, live: Snapshot | None, wanted: State | None) -> Sequence[Step]:
        """Returns the steps from the live state to the wanted one (None: it was not there).

        Changes nothing, but checks all that can be checked: a configuration is validated by the
        system itself. Raises CannotRollBack.
        """

    def apply(self, steps: Sequence[Step]) -> list[str]:
        """Does the steps in order and returns what the system answered to each.

        Where one fails, those before it are taken back as far as they can be. Raises ApplyFailed.
        """

    def close(self) -> None: ...
