"""Segments that are checked by the workers of a cluster, and how far their word is taken.

Every answer must be possible (`executor_claims`). A segment of which a worker says that something
is wrong is read again here, and so are a few drawn by chance, and the one with the newest
checkpoint of `trust`: where the two differ, no answer of that executor counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

from muniment.errors import InputError, Unavailable
from muniment.log.disk import Disk
from muniment.log.segment import segment_first
from muniment.log.verify import SegmentWork, check_segments
from muniment.log.verify_segment import SegmentCheck
from muniment.store.disk import StoreDisk
from muniment.trust.executor_backends import Run
from muniment.trust.executor_claims import check_claim
from muniment.trust.executor_messages import (
    Answer,
    StorePlace,
    Task,
    check_of,
    decode_answer,
    encode,
)

if TYPE_CHECKING:
    from muniment.settings.store import Connection

TRIES = 3
"""Times that a task is given to a cluster whose workers die."""

SAMPLE = 100
"""One segment of so many is read here, too; one at least."""


class Executor:
    """What `verify_shard` takes as `elsewhere`: has segments checked by `run`, and doubts.

    `name` is for messages, `workers` count the segments of each, `again` those that were read here
    too; `jobs` threads read what is read here. `store` is where the workers
    find the objects of a StoreDisk; secrets are left out. Raises Unavailable where the executor
    does not do its work, or says what is not so.
    """

    def __init__(
        self, name: str, run: Run, *, jobs: int = 1, store: Connection | None = None
    ) -> None:
        self.name, self._run, self._jobs = name, run, jobs
        self._store = None if store is None else place_of(store)
        self.digests: dict[Path, bytes] = {}
        self.workers: dict[str, int] = {}
        self.again = 0

    def __call__(self, disk: Disk, work: Sequence[SegmentWork]) -> Iterator[SegmentCheck]:
        """Yields each segment's check once. Files that still grow, or are not here, stay here."""
        remote = {n: one for n, one in enumerate(work) if self._is_for_others(disk, one)}
        doubted = _drawn(remote)
        for number, answer in self._answers(self._tasks(disk, remote)):
            one = remote[number]
            self.workers[answer.worker] = self.workers.get(answer.worker, 0) + 1
            yield self._believed(disk, one, answer, again=number in doubted)
        yield from check_segments(
            disk, [w for n, w in enumerate(work) if n not in remote], self._jobs
        )

    def _is_for_others(self, disk: Disk, work: SegmentWork) -> bool:
        if work.limit is not None:
            return False
        return self._store is not None if isinstance(disk, StoreDisk) else work.path.is_file()

    def _tasks(self, disk: Disk, work: dict[int, SegmentWork]) -> dict[int, bytes]:
        tasks = {}
        for number, one in work.items():
            place, path = None, str(one.path)
            if isinstance(disk, StoreDisk) and self._store is not None:
                found = disk.inventory.first(path)
                if found is None:
                    raise Unavailable(f"{path} is not in the store any more")
                place = StorePlace(self._store, found.size, found.version)
            else:
                path = str(one.path.resolve())
            tasks[number] = encode(Task(number, path, str(one.verifier), list(one.sizes), place))
        return tasks

    def _answers(self, tasks: dict[int, bytes]) -> Iterator[tuple[int, Answer]]:
        """Yields one answer a task; what was lost with a worker is asked again."""
        left = dict(tasks)
        for attempt in range(1, TRIES + 1):
            answers = iter(self._run(dict(left))) if left else iter(())
            while left:
                try:
                    found = next(answers)
                except StopIteration:
                    trouble = "it ended without all answers"
                    break
                except Exception as error:  # each cluster has errors of its own
                    trouble = f"{type(error).__name__}: {str(error)[:300]}"
                    break
                answer = self._decoded(found, left)
                del left[answer.number]
                yield answer.number, answer
            else:
                return
            if attempt == TRIES:
                raise Unavailable(
                    f"{self.name} did not check {len(left):,} of {len(tasks):,} segments: {trouble}"
                )

    def _decoded(self, found: object, left: dict[int, bytes]) -> Answer:
        try:
            answer = decode_answer(found)
        except InputError as error:
            raise Unavailable(f"{self.name}: {error.detail}") from error
        if answer.number not in left:
            raise Unavailable(f"{self.name} answered what was not asked, or twice")
        if answer.trouble:
            raise Unavailable(f"a worker of {self.name} could not look: {answer.trouble}")
        return answer

    def _believed(
        self, disk: Disk, work: SegmentWork, answer: Answer, *, again: bool
    ) -> SegmentCheck:
        """The worker's check, or the one made here where it is doubted."""
        claim, reason = check_of(answer, work.path), ""
        if claim.finding is None:
            try:
                check_claim(claim, work, disk.size(work.path))
            except (InputError, FileNotFoundError) as error:
                reason = str(error)
            if not (again or reason):
                self.digests[work.path] = answer.digest
                return claim
        self.again += 1
        (here,) = check_segments(disk, [work], self._jobs)
        if here.finding is not None:
            return here
        if claim.finding is not None:
            reason = f"it found {claim.finding.problem}"
        elif not reason and not _same(here, claim):
            reason = "it found another tree"
        if reason:
            raise Unavailable(
                f"{work.path}: read here, it is whole; a worker of {self.name} says otherwise "
                f"({reason[:500]}): none of its answers counts"
            )
        return here


def place_of(connection: Connection) -> dict[str, str | bool | float]:
    """Returns what a worker needs of a connection: where, not as whom."""
    known = ("url", "endpoint", "region", "account", "ca", "allow_http", "timeout", "jurisdiction")
    told = connection.model_dump(mode="json", include=set(known), exclude_none=True)
    return {name: value for name, value in told.items() if isinstance(value, str | bool | float)}


def _drawn(work: dict[int, SegmentWork]) -> set[int]:
    """The numbers of the segments that are read here, too."""
    if not work:
        return set()
    drawn = set(SystemRandom().sample(sorted(work), -(-len(work) // SAMPLE)))
    newest = max((size for one in work.values() for size in one.sizes), default=0)
    firsts = [(segment_first(one.path.name) or 0, number) for number, one in work.items()]
    before = [place for place in firsts if place[0] < newest]
    return drawn | ({max(before)[1]} if before else set())


def _same(one: SegmentCheck, other: SegmentCheck) -> bool:
    def told(check: SegmentCheck) -> tuple[object, ...]:
        tiles = [b"".join(level) for level in check.tiles]
        return (
            check.first,
            check.start,
            check.after_failure,
            check.size,
            check.frontier,
            check.length,
            check.sealed,
            tiles,
            check.roots,
            [(c.offset, c.size, c.root, c.note) for c in check.checkpoints],
        )

    return told(one) == told(other)
