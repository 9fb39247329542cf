"""Probes on objects of the check's own: each makes an object, tries one act, and looks again.

What counts is what is there afterwards, not what the store answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256

from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.store.port import Lock, Mode, ObjectState
from muniment.store.worm.attempts import Attempts, NotOffered, refusal
from muniment.store.worm.bench import BRIEF, Bench, Tried, words
from muniment.store.worm.verdict import Probe, Verdict

OTHER = b"muniment worm check: other bytes\n"
MAX_UNANSWERED = 3
"""Probes that the store does not answer, before the check is given up."""

STAY = "leave the first version as it is"
SLOW = "the store took longer than the lock of the object lasts"
OFF = "this store is configured with lock = off: nothing holds its objects"
BYPASSED = (
    "done: this account may pass governance mode (take s3:BypassGovernanceRetention away from it, "
    "or use compliance)"
)


@dataclass(frozen=True, slots=True)
class Objects:
    """The probes of one check. `versions` says that this kind of store keeps versions."""

    bench: Bench
    attempts: Attempts
    default_days: int = 0

    def probes(self) -> Iterator[Probe]:
        """Yields what each probe found.

        Where the store could not be asked, a probe says so; more than a few of these end the
        check.
        Raises StoreFailing.
        """
        first = self._put()
        yield first
        if first.verdict is Verdict.BROKEN:
            return
        failures = 0
        for name, probe in self._all().items():
            try:
                found = probe()
            except StoreFailing as error:
                failures += 1
                if failures > MAX_UNANSWERED:
                    raise
                said = f"it could not be asked: {words(error)}"
                tried = f"the probe {name}"
                found = Probe(name, tried, "be answered", said, Verdict.NOT_SHOWN, passing=True)
            yield found

    def _all(self) -> dict[str, Callable[[], Probe]]:
        return {
            "lock": self._lock_read_back,
            "overwrite": self._overwrite,
            "delete-key": self._delete_key,
            "delete-version": partial(self._delete_version, bypass=False),
            "delete-version-bypass": partial(self._delete_version, bypass=True),
            "delete-many": self._delete_many,
            "shorten": self._shorten,
            "soften": self._soften,
            "unlock": self._unlock,
            "hold": self._hold,
            "checksum": self._wrong_checksum,
            "past": self._past_retention,
            "if-absent": self._if_absent,
        }

    def _put(self) -> Probe:
        say = partial(
            Probe, "put", "put with lock and checksum, read back", "give the same bytes", key=""
        )
        try:
            tried = self.bench.put("put", self._short())
        except (StoreLocked, StoreFailing) as error:
            if isinstance(error, StoreFailing) and error.reason != "refused":
                raise
            return say(f"refused: {words(error)}", Verdict.BROKEN)
        if self.bench.intact(tried):
            return say("the same bytes", Verdict.KEPT)
        return say("other bytes, or none", Verdict.BROKEN)

    def _lock_read_back(self) -> Probe:
        wanted = self.bench.lock()
        tried = "read the lock of a new object"
        if wanted is None:
            return Probe("lock", tried, "be as it was asked", OFF, Verdict.NOT_SHOWN)
        must = f"be {wanted.mode.value} until {wanted.until:%H:%M:%S}"
        made = self.bench.put("lock", wanted)
        found = self._state(made)
        lock = found.lock if found else None
        if lock is not None and lock.mode is wanted.mode and lock.until >= wanted.until:
            return Probe("lock", tried, must, "as asked", Verdict.KEPT)
        return Probe("lock", tried, must, _lock_words(lock), Verdict.BROKEN)

    def _overwrite(self) -> Probe:
        def act(made: Tried) -> None:
            self.bench.store.put(made.key, OTHER, sha256=_hash(OTHER), lock=self._short())

        return self._stays("overwrite", "put other bytes under the same key", act)

    def _delete_key(self) -> Probe:
        return self._stays(
            "delete-key", "delete the key", lambda made: self.attempts.delete_key(made.key)
        )

    def _delete_version(self, *, bypass: bool) -> Probe:
        how = "with" if bypass else "without"
        return self._stays(
            "delete-version-bypass" if bypass else "delete-version",
            f"delete the version {how} governance bypass",
            lambda made: self.attempts.delete_version(made.key, made.version, bypass=bypass),
            bypass=bypass,
        )

    def _delete_many(self) -> Probe:
        return self._stays(
            "delete-many",
            "delete the version through the call for many objects",
            lambda made: self.attempts.delete_many(made.key, made.version),
        )

    def _shorten(self) -> Probe:
        def change(made: Tried, lock: Lock) -> None:
            shorter = Lock(lock.mode, lock.until - self.bench.length / 2)
            self.attempts.retain(made.key, made.version, _whole(shorter), bypass=False)

        return self._locked_still("shorten", "shorten the retention", change)

    def _soften(self) -> Probe:
        def change(made: Tried, lock: Lock) -> None:
            soft = Lock(Mode.GOVERNANCE, lock.until + timedelta(seconds=1))
            self.attempts.retain(made.key, made.version, soft, bypass=True)

        if self.bench.mode is Mode.GOVERNANCE:
            said = "governance is the softest mode"
            tried = "switch compliance to governance"
            return Probe("soften", tried, "stay compliance", said, Verdict.NOT_SHOWN)
        return self._locked_still("soften", "switch compliance to governance", change)

    def _unlock(self) -> Probe:
        def change(made: Tried, lock: Lock) -> None:
            off = Lock(Mode.OFF, lock.until)
            self.attempts.retain(made.key, made.version, off, bypass=False)

        return self._locked_still("unlock", "take the retention off", change)

    def _hold(self) -> Probe:
        """A hold matters once the retention is over: so that is waited for, some seconds."""
        tried = "put a legal hold on, let the retention end, delete under it"
        say = partial(Probe, "hold", tried, STAY)
        if self.bench.mode is Mode.OFF:
            return say(OFF, Verdict.NOT_SHOWN)
        lock = Lock(self.bench.mode, self.bench.until(BRIEF))
        made = self.bench.put("hold", lock)
        try:
            return say(*self._deleted_on_hold(made, lock))
        finally:
            with suppress(NoSuchObject, StoreLocked, StoreFailing):
                self._put_hold(made, on=False)

    def _deleted_on_hold(self, made: Tried, lock: Lock) -> tuple[str, Verdict]:
        refused = refusal(lambda: self._put_hold(made, on=True))
        if refused:
            return f"the hold is {refused}", Verdict.NOT_SHOWN
        found = self._state(made)
        if found is None or not found.hold:
            return "the hold was taken, but is not there", Verdict.BROKEN
        self.bench.outwait(lock)
        delete = partial(self.attempts.delete_version, made.key, made.version, bypass=True)
        answer = refusal(delete) or "the store said that it was done"
        if not self.bench.intact(made):
            return "the version is gone", Verdict.BROKEN
        self._put_hold(made, on=False)
        if refusal(delete):
            return "it cannot be deleted without the hold either", Verdict.NOT_SHOWN
        return answer, Verdict.KEPT

    def _put_hold(self, made: Tried, *, on: bool) -> None:
        self.bench.store.write_once.hold(made.key, on, version=made.version)

    def _wrong_checksum(self) -> Probe:
        say = partial(Probe, "checksum", "put bytes with the SHA-256 of others", "be refused")
        key = self.bench.key("checksum")
        act = partial(self.attempts.put_damaged, key, b"damaged\n", _hash(b"sound\n"))
        try:
            answer = refusal(lambda: act(self._short()))
        except NotOffered as error:
            return say(str(error), Verdict.NOT_SHOWN)
        if self.bench.store.head(key) is not None:
            return say("the store keeps it", Verdict.BROKEN)
        return say(answer or "nothing is there", Verdict.KEPT)

    def _past_retention(self) -> Probe:
        say = partial(Probe, "past", "put with a retention that is over", "be refused")
        if self.bench.mode is Mode.OFF:
            return say(OFF, Verdict.NOT_SHOWN)
        key = self.bench.key("past")
        past = Lock(self.bench.mode, self.bench.until(-timedelta(days=1)))
        answer = refusal(lambda: self.attempts.put(key, b"past\n", past))
        if answer:
            return say(answer, Verdict.KEPT)
        return say("the store took it, and does not lock it", Verdict.BROKEN)

    def _if_absent(self) -> Probe:
        say = partial(Probe, "if-absent", "put if absent where there is an object", "not be done")
        made = self.bench.put("if-absent", self._short())
        put = self.bench.store.put_if_absent
        if put(made.key, OTHER, sha256=_hash(OTHER), lock=self._short()) is None:
            return say("not done", Verdict.KEPT)
        if not self.bench.intact(made):
            return say("the object is gone", Verdict.BROKEN)
        said = "done, as another version: this store does not fence; the archive looks first"
        return say(said, Verdict.NOT_SHOWN)

    def _stays(
        self, name: str, tried: str, act: Callable[[Tried], object], *, bypass: bool = False
    ) -> Probe:
        """Does something to a locked object of its own; its first version must be there after."""
        say = partial(Probe, name, tried, STAY)
        if self.bench.mode is Mode.OFF:
            return say(OFF, Verdict.NOT_SHOWN)
        made = self.bench.put(name, self.bench.lock())
        try:
            answer = refusal(lambda: act(made))
        except NotOffered as error:
            return say(str(error), Verdict.NOT_SHOWN)
        if self.bench.intact(made):
            return say(answer or "done beside it: the first version is there", Verdict.KEPT)
        if self.bench.over(made):
            return say(SLOW, Verdict.NOT_SHOWN, passing=True)
        if bypass and self.bench.mode is Mode.GOVERNANCE:
            return say(BYPASSED, Verdict.NOT_SHOWN)
        return say("the first version is gone or has other bytes", Verdict.BROKEN)

    def _locked_still(
        self, name: str, tried: str, change: Callable[[Tried, Lock], object]
    ) -> Probe:
        """Tries to weaken the lock of an object of its own; it must be as strong after."""
        say = partial(Probe, name, tried, "stay locked as it was")
        lock = self.bench.lock()
        if lock is None:
            return say(OFF, Verdict.NOT_SHOWN)
        made = self.bench.put(name, lock)
        try:
            answer = refusal(lambda: change(made, lock))
        except NotOffered as error:
            return say(str(error), Verdict.NOT_SHOWN)
        found = self._state(made)
        now = found.lock if found else None
        if now is not None and now.mode is lock.mode and now.until >= lock.until:
            return say(answer or "the store said yes, and did not do it", Verdict.KEPT)
        if self.bench.over(made):
            return say(SLOW, Verdict.NOT_SHOWN, passing=True)
        return say(f"it is {_lock_words(now)} now", Verdict.BROKEN)

    def _state(self, made: Tried) -> ObjectState | None:
        try:
            return self.bench.store.write_once.state(made.key, version=made.version)
        except NoSuchObject:
            return None

    def _short(self) -> Lock | None:
        """The configured lock; with `off`, a short one where the bucket would give a long one."""
        if self.bench.mode is Mode.OFF and self.default_days:
            return self.bench.lock(Mode.GOVERNANCE)
        return self.bench.lock()


def _whole(lock: Lock) -> Lock:
    return Lock(lock.mode, lock.until.replace(microsecond=0))


def _hash(data: bytes) -> bytes:
    return sha256(data).digest()


def _lock_words(lock: Lock | None) -> str:
    if lock is None or lock.mode is Mode.OFF:
        return "not locked"
    return f"{lock.mode.value} until {lock.until:%Y-%m-%dT%H:%M:%SZ}"
