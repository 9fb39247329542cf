"""What goes wrong at a simulated store: chosen by a script, or by a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from threading import Lock as Mutex

from muniment.errors import StoreFailing


class Fault(Enum):
    """What happens at a call."""

    SLOW = "the store's `pause` is called first; then all goes well"
    LOST = "done, but the answer is lost: unreachable, unknown=True for a write"
    LATE = "a time-out: not done now, but by `land()`: slow, unknown=True for a write"
    DOUBLED = "done and answered; the same request is done once more by `land()`"
    BUSY = "503: not done"
    UNREACHABLE = "no connection: not done"
    FULL = "no room: not done; reads go well"
    CREDENTIALS = "the credentials have expired: not done"
    CUT = "a list whose second page fails; one page alone fails at its end"
    FLIPPED = "a bit of what is read is another"


REFUSALS = {
    Fault.BUSY: ("busy", "503 Slow Down"),
    Fault.UNREACHABLE: ("unreachable", "connection refused"),
    Fault.FULL: ("full", "the quota is used up"),
    Fault.CREDENTIALS: ("credentials", "the token has expired"),
}
WRITES = ("put", "put_if_absent", "remove", "extend", "hold", "remove_version")
READS = ("get", "get_range", "head", "list", "bucket", "state", "versions")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the code under test, by the node that made it."""

    number: int
    node: str
    operation: str
    key: str

    @property
    def writes(self) -> bool:
        return self.operation in WRITES

    def failed(self, reason: str, detail: str, *, unknown: bool = False) -> StoreFailing:
        """The error of this call."""
        return StoreFailing(
            f"simulated: {self.operation} {self.key}: {detail}",
            reason=reason,
            unknown=unknown and self.writes,
        )


Plan = Callable[[Call], Fault | None]


class Faults:
    """Which calls of one node fail, and how; nothing fails at first.

    `next` before `always` before `plan`: the first that has something to say is heard.
    """

    def __init__(self) -> None:
        self.plan: Plan = lambda call: None
        self._next: list[tuple[Fault, str, str]] = []
        self._always: list[tuple[Fault, str, str]] = []
        self._mutex = Mutex()

    def next(self, fault: Fault, operation: str = "", key: str = "", *, times: int = 1) -> None:
        """The next calls of an operation (of any), whose keys begin with `key`, go wrong."""
        with self._mutex:
            self._next += [(fault, operation, key)] * times

    def always(self, fault: Fault, operation: str = "", key: str = "") -> None:
        """All such calls go wrong, until `clear`."""
        with self._mutex:
            self._always.append((fault, operation, key))

    def at_call(self, number: int, fault: Fault) -> None:
        """The call of that number goes wrong, and none other."""
        self.plan = lambda call: fault if call.number == number else None

    def at_random(self, seed: int, chance: float, faults: Sequence[Fault]) -> None:
        """Each call goes wrong with this chance, in one of these ways."""
        random = Random(seed)
        self.plan = lambda call: random.choice(faults) if random.random() < chance else None

    def clear(self) -> None:
        """All goes well from now on. What is on its way still lands."""
        with self._mutex:
            self._next.clear()
            self._always.clear()
            self.plan = lambda call: None

    def at(self, call: Call) -> Fault | None:
        """What happens at this call."""
        with self._mutex:
            for entry in self._next:
                if _meant(entry, call):
                    self._next.remove(entry)
                    return entry[0]
            for entry in self._always:
                if _meant(entry, call):
                    return entry[0]
            return self.plan(call)


def _meant(entry: tuple[Fault, str, str], call: Call) -> bool:
    fault, operation, key = entry
    if fault is Fault.FULL and call.operation not in ("put", "put_if_absent"):
        return False
    return operation in ("", call.operation) and call.key.startswith(key)
