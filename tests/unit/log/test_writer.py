"""The writer: many senders, one commit after the other, and an answer for everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Thread, current_thread

import pytest
from fake_clock import FakeClock
from live_shard import DIRECTORY, SIGNER, Model, entry, lines, new_shard, open_shard, take
from simulated_disk import SimulatedDisk, Step

from muniment.errors import InputError, Overloaded, Unavailable
from muniment.log import Acknowledgement, Shard
from muniment.log.checkpoint import Checkpoint, split_notes
from muniment.log.note import Note
from muniment.log.verify import verify_shard


class Gate:
    """Holds the writer in its next sync until it is opened."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.reached, self._opened = Event(), Event()
        disk.plan = self._hold

    def _hold(self, step: Step) -> None:
        if step.operation == "sync" and current_thread().name.startswith("writer"):
            self.reached.set()
            assert self._opened.wait(60)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def held() -> Iterator[tuple[Shard, Gate, Future[Acknowledgement]]]:
    """A shard whose writer is held while it commits a first batch; the queue is empty."""
    shard, disk = new_shard(queue_bytes=1000)
    gate = Gate(disk)
    first = shard.submit(lines("first"))
    assert gate.reached.wait(60)
    yield shard, gate, first
    gate.open()
    shard.close()


def test_senders_at_once_lose_nothing_and_keep_their_order() -> None:
    shard, disk = new_shard(limits=None)
    senders, each = 8, 40

    def send(sender: int) -> list[Acknowledgement]:
        waiting = [
            shard.submit(lines(*(f"{sender} {number} {part}" for part in range(3))))
            for number in range(each)
        ]
        return [future.result(60) for future in waiting]

    with ThreadPoolExecutor(senders) as pool:
        answers = list(pool.map(send, range(senders)))
    entries = shard.reader.read(0).entries
    assert len(entries) == senders * each * 3
    for sender, acknowledged in enumerate(answers):
        firsts = [answer.first for answer in acknowledged]
        assert firsts == sorted(firsts)
        for number, first in enumerate(firsts):
            expected = [entry(f"{sender} {number} {part}") for part in range(3)]
            assert entries[first : first + 3] == expected
    check_receipts([a for acknowledged in answers for a in acknowledged], entries)
    assert shard.metrics.entries == len(entries)
    assert shard.metrics.commits <= senders * each
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def check_receipts(answers: list[Acknowledgement], entries: list[bytes]) -> None:
    """Each receipt is signed, covers its entries, and is the root of what came before it."""
    tree = Model(entries).tree
    for answer in answers:
        note = Note.parse(answer.receipt)
        note.check([SIGNER.verifier])
        checkpoint = Checkpoint.parse(note.text)
        assert checkpoint.size >= answer.first + answer.count
        assert checkpoint.root == tree.root(0, checkpoint.size)
        assert (answer.log, answer.shard, answer.durability) == ("web", "11111111", "local")


Held = tuple[Shard, Gate, Future[Acknowledgement]]


def test_what_waits_goes_into_one_commit(held: Held) -> None:
    shard, gate, first = held
    waiting = [shard.submit(lines(str(number))) for number in range(5)]
    assert not first.done() and not any(future.done() for future in waiting)
    gate.open()
    assert first.result(60).first == 0
    answers = [future.result(60) for future in waiting]
    assert [answer.first for answer in answers] == [1, 2, 3, 4, 5]
    assert len({answer.receipt for answer in answers}) == 1
    assert Checkpoint.of_note(answers[0].receipt).size == 6


def test_a_full_queue_refuses_and_takes_again_later(held: Held) -> None:
    shard, gate, _ = held
    large = lines("x" * 400)
    waiting = [shard.submit(large), shard.submit(large)]
    with pytest.raises(Overloaded) as error:
        shard.submit(large)
    assert error.value.retry_after >= 1
    assert shard.health.ok and shard.metrics.refused == 1
    waiting.append(shard.submit(lines("small")))
    gate.open()
    assert [future.result(60).first for future in waiting] == [1, 2, 3]
    assert take(shard, large).first == 4


def test_a_batch_larger_than_the_queue_is_taken_when_it_is_alone(held: Held) -> None:
    shard, gate, first = held
    huge = shard.submit(lines("x" * 5000))
    with pytest.raises(Overloaded):
        shard.submit(lines("y"))
    gate.open()
    assert (first.result(60).first, huge.result(60).first) == (0, 1)


def test_closing_answers_everything_that_was_taken(held: Held) -> None:
    shard, gate, first = held
    waiting = [shard.submit(lines(str(number))) for number in range(5)]
    closing = Thread(target=shard.close)
    closing.start()
    while True:
        try:
            waiting.append(shard.submit(lines("x")))
        except (Unavailable, Overloaded) as error:
            if isinstance(error, Unavailable):
                break
    assert not first.done()
    gate.open()
    closing.join(60)
    answers = [future.result(0) for future in [first, *waiting]]
    assert [answer.first for answer in answers] == list(range(len(answers)))
    note = shard.checkpoint()
    assert note is not None and Checkpoint.of_note(note).size == len(answers)


def test_nobody_can_cancel_what_was_taken(held: Held) -> None:
    """The entries will be in the log; a sender who stops waiting changes nothing."""
    shard, gate, first = held
    second = shard.submit(lines("second"))
    assert not first.cancel() and not second.cancel()
    gate.open()
    assert second.result(60).first == 1
    assert take(shard, lines("third")).first == 2


def test_an_id_is_known_from_the_moment_it_is_taken(held: Held) -> None:
    shard, gate, first = held
    waiting = shard.submit(lines("a", id_="one"))
    assert shard.knows("one") and not shard.knows("two")
    gate.open()
    first.result(60), waiting.result(60)
    assert shard.knows("one") and shard.writable and not shard.fenced


@pytest.mark.parametrize("close", [Shard.close, lambda shard: shard.wait_published(3, 60)])
def test_the_published_checkpoint_covers_what_was_acknowledged(
    close: Callable[[Shard], object],
) -> None:
    shard, disk = new_shard()
    assert shard.checkpoint() is None and shard.published_size == 0
    take(shard, lines("a", "b", "c"))
    close(shard)
    note = shard.checkpoint()
    assert note is not None and Checkpoint.of_note(note).size == 3 == shard.published_size
    assert disk.files()[DIRECTORY / "checkpoints"].decode() == note
    if close is not Shard.close:
        shard.close()


def test_checkpoints_are_published_at_most_once_a_second() -> None:
    clock = FakeClock()
    shard, disk = new_shard(clock=clock)
    for number in range(5):
        for _ in range(3):
            take(shard, lines("x"))
        clock.seconds += 1.0
        take(shard, lines("y"))
        assert shard.wait_published(4 * (number + 1), 60)
    shard.close()
    sizes = [Checkpoint.of_note(n).size for n in notes(disk)]
    assert sizes == sorted(set(sizes))
    assert len(sizes) <= 6 and sizes[-1] == 20


def notes(disk: SimulatedDisk) -> list[str]:
    return split_notes(disk.files()[DIRECTORY / "checkpoints"].decode())


def test_nothing_is_published_twice() -> None:
    shard, disk = new_shard()
    take(shard, lines("x"))
    shard.close()
    open_shard(disk).close()
    open_shard(disk).close()
    assert len(notes(disk)) == 1


def test_callbacks_see_durable_sizes_in_order() -> None:
    shard, _ = new_shard()
    seen: list[tuple[int, bytes, str]] = []

    def callback(size: int) -> None:
        seen.append((size, shard.reader.entry(size - 1), current_thread().name))

    shard.on_commit.append(callback)
    for text in "abc":
        take(shard, lines(text))
    shard.close()
    assert [size for size, _, _ in seen] == [1, 2, 3]
    assert [last for _, last, _ in seen] == [entry("a"), entry("b"), entry("c")]
    assert {name for _, _, name in seen} == {"writer web/11111111"}


def test_batches_that_cannot_be_taken() -> None:
    shard, _ = new_shard()
    with pytest.raises(InputError):
        shard.submit(type(lines("x"))([]))
    with pytest.raises(InputError):
        shard.submit(lines("x", id_="i" * 256))
    assert take(shard, lines("x", id_="i" * 255)).first == 0
    shard.close()
    with pytest.raises(Unavailable):
        shard.submit(lines("x"))


def test_a_proof_and_its_checkpoint_are_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer may publish while a proof is made."""
    shard, disk = new_shard()
    take(shard, lines("a"))
    shard.close()
    shard = open_shard(disk)
    take(shard, lines("b", "c"))
    shard.close()
    old, new = notes(disk)
    moving = iter([old, new, new, new])

    class Tail:
        @property
        def published(self) -> str:
            return next(moving)

    monkeypatch.setattr(shard._committer, "tail", Tail())
    assert shard.prove(0).check(entry("a"), [SIGNER.verifier]).size == 1
