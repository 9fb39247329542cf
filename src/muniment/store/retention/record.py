"""The retentions of logs as they were recorded in the data directory, against the settings.

A retention only ever grows. Whatever was once recorded stands: settings with a shorter minimum or
maximum are refused at start; longer ones are recorded under the next number. A log without a table
in the settings goes on under what was recorded, and one for which nothing ever was has no policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from muniment.clock import Clock, rfc3339
from muniment.data_names import RETENTION
from muniment.errors import Corrupt, SettingsError
from muniment.log.disk import Disk, write_file
from muniment.settings.store import Retention
from muniment.store.port import Lock, Mode
from muniment.store.retention.policy import MAX_POLICIES, Policy, is_sound, lock_of

MAX_BYTES = 16 << 20
_SECOND = timedelta(seconds=1)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    policies: list[Policy]
    told: int = 0
    spread: dict[str, int] = msgspec.field(default_factory=dict)
    passing: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)
    held: dict[str, list[str]] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the retention of a log is recorded on this node, and through what."""

    path: Path
    disk: Disk

    @classmethod
    def of(cls, data: Path, log: str, disk: Disk) -> Place:
        """The place below a data directory."""
        return cls(data / RETENTION / f"{log}.json", disk)


class Record:
    """The recorded policies of one log, oldest first, and how far they were told and spread.

    For one thread at a time but for `current`, which any thread may read.
    """

    def __init__(self, log: str, place: Place, file: _File) -> None:
        self.log = log
        self._place, self._file = place, file

    @classmethod
    def open(cls, log: str, place: Place, wanted: Retention | None, clock: Clock) -> Record:
        """Reads what was recorded, and records what the settings want beyond that.

        Raises SettingsError where they want less, Corrupt where the file is no record.
        """
        record = cls(log, place, _read(log, place))
        if wanted is not None:
            record._want(wanted, clock)
        return record

    @property
    def path(self) -> Path:
        """The file."""
        return self._place.path

    @property
    def current(self) -> Policy | None:
        """What holds now, or None for a log that never had a retention."""
        return self._file.policies[-1] if self._file.policies else None

    @property
    def policies(self) -> Sequence[Policy]:
        """All that were ever recorded, oldest first."""
        return tuple(self._file.policies)

    def _want(self, wanted: Retention, clock: Clock) -> None:
        number = 1 + max((policy.number for policy in self._file.policies), default=0)
        new = Policy(
            self.log,
            number,
            _seconds(wanted.minimum),
            _seconds(wanted.maximum),
            rfc3339(clock.now()),
        )
        current = self.current
        if current is None:
            self._add(new)
            return
        if not new.covers(current):
            raise SettingsError(
                f"retention.{self.log}: {new} is shorter than {current}, as recorded on "
                f"{current.set} in {self.path} and in the stores; a retention is only ever extended"
            )
        if not current.covers(new):
            self._add(new)

    def renumber(self, above: int, clock: Clock) -> None:
        """Records what holds now once more, under a number that a store has not used."""
        if (current := self.current) is not None and current.number <= above:
            self._add(replace(current, number=above + 1, set=rfc3339(clock.now())))

    def _add(self, policy: Policy) -> None:
        if policy.number > MAX_POLICIES:
            raise SettingsError(f"{self.path} holds {MAX_POLICIES} policies: no more are taken")
        self._save(replace(self._file, policies=[*self._file.policies, policy]))

    @property
    def untold(self) -> Sequence[Policy]:
        """Policies whose entry is not known to be in the log."""
        return [one for one in self._file.policies if one.number > self._file.told]

    def tell(self, number: int) -> None:
        """Notes that the entry of a policy, and those before it, are in the log."""
        self._save(replace(self._file, told=max(self._file.told, number)))

    def spread_to(self, store: str) -> int:
        """The number of the policy that all objects of a store are known to follow; 0 for none."""
        return self._file.spread.get(store, 0)

    def resume_at(self, store: str, number: int) -> str:
        """The key up to which a pass over a store for this policy has come; empty for none."""
        of, key = self._file.passing.get(store, (0, ""))
        return key if of == number else ""

    def note_pass(self, store: str, number: int, key: str) -> None:
        """Notes how far a pass has come."""
        passing = {**self._file.passing, store: (number, key)}
        self._save(replace(self._file, passing=passing))

    def placed_in(self, store: str) -> set[str]:
        """The keys of a store on which legal holds of ours are known to be."""
        return set(self._file.held.get(store, ()))

    def note_placed(self, store: str, keys: set[str]) -> None:
        """Notes on which keys of a store legal holds of ours are."""
        if self.placed_in(store) != keys:
            self._save(replace(self._file, held={**self._file.held, store: sorted(keys)}))

    def note_spread(self, store: str, number: int) -> None:
        """Notes that all objects of a store follow a policy."""
        self._save(replace(self._file, spread={**self._file.spread, store: number}))

    def _save(self, file: _File) -> None:
        place = self._place
        place.disk.make_directory(place.path.parent)
        write_file(
            place.disk, place.path, msgspec.json.format(msgspec.json.encode(file)) + b"\n", 0o600
        )
        self._file = file


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else -(-duration // _SECOND)


def _read(log: str, place: Place) -> _File:
    path, disk = place.path, place.disk
    try:
        if disk.size(path) > MAX_BYTES:
            raise Corrupt(str(path), 0, f"at most {MAX_BYTES} bytes", "more")
        data = disk.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return _File(1, [])
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(str(path), 0, "the retention of a log", str(error)[:200]) from error
    numbers = [policy.number for policy in file.policies]
    if (
        file.version != 1
        or numbers != sorted(set(numbers))
        or not all(is_sound(policy, log) for policy in file.policies)
    ):
        raise Corrupt(str(path), 0, f"the retention of {log}", "something else")
    return file


class Retentions:
    """The retentions of all logs of a node; `lock_for` may be asked by any thread."""

    def __init__(self, records: Mapping[str, Record], clock: Clock) -> None:
        self.records, self._clock = records, clock

    @classmethod
    def open(
        cls,
        data: Path,
        logs: Sequence[str],
        wanted: Mapping[str, Retention],
        disk: Disk,
        clock: Clock,
    ) -> Retentions:
        """Opens the records of a data directory against the settings.

        Raises SettingsError that names both where the settings want less than was recorded.
        """
        return cls(
            {
                log: Record.open(log, Place.of(data, log, disk), wanted.get(log), clock)
                for log in logs
            },
            clock,
        )

    def lock_for(self, log: str, sealed_at: datetime, mode: Mode = Mode.COMPLIANCE) -> Lock | None:
        """Returns the lock for an object of a log, or None.

        That is: there is no minimum, or it is over already, or the store's mode is off.

        `sealed_at` is when the segment was sealed, or the object made; the lock ends a minimum
        after that, in whole seconds, rounded up.
        """
        record = self.records.get(log)
        policy = record.current if record is not None else None
        if policy is None:
            return None
        lock = lock_of(policy, sealed_at, mode)
        return lock if lock is not None and lock.until > self._clock.now() else None
