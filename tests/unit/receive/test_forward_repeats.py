"""Chunks that come again, and those that only look so."""

from __future__ import annotations

from hashlib import sha512

from forward_parts import (
    Stand,
    entries,
    packed,
    packed_events,
    run,
)
from receive_parts import until

from muniment.errors import Conflict
from muniment.log.frame import MAX_ID_BYTES
from muniment.receive.forward.delivery import chunk_id
from muniment.receive.forward.taken import MOST, Taken
from muniment.receive.header import Origin


def test_an_id_that_came_with_other_events_costs_none() -> None:
    async def scenario() -> None:
        stand = Stand()
        submit, ids = stand.log.submit, []

        def refuse_ids(batch):  # type: ignore[no-untyped-def]
            ids.append(batch.id)
            stand.log.refusal = Conflict("used") if batch.id else None
            stand.log.fails_later = True
            return submit(batch)

        stand.intake._submit = refuse_ids
        session, line = stand.connect("user:ann")
        session.feed(packed(chunk="c"))
        await until(lambda: bool(line.written))
        assert ids == ["user:ann forward c", None]
        assert stand.stored() == entries()
        assert stand.shared.delivery.numbers.conflicts == 1

    run(scenario)


def test_equal_chunks_that_are_named_by_their_events_are_two() -> None:
    """Over connections that stand; what comes when its connection is gone is a repetition."""

    async def scenario() -> None:
        stand = Stand()
        submit, ids = stand.log.submit, []

        def note(batch):  # type: ignore[no-untyped-def]
            ids.append(batch.id)
            return submit(batch)

        stand.intake._submit = note
        digest = sha512(packed_events()).digest()[:16].hex()
        first, line = stand.connect()
        second, other = stand.connect()
        first.feed(packed(chunk=digest))
        second.feed(packed(chunk=digest))
        await until(lambda: len(line.written) == len(other.written) == 1)
        first.feed(packed(chunk=digest))
        await until(lambda: len(line.written) == 2)
        id_ = f"forward 192.0.2.1 {digest}"
        assert ids == [id_, None, None]
        for session in (first, second):
            session.end()
        third, line = stand.connect()
        third.feed(packed(chunk=digest) + packed(chunk="random") * 2)
        await until(lambda: len(line.written) == 3)
        assert ids[3:] == [id_, "forward random", "forward random"]

    run(scenario)


def test_what_came_is_remembered_within_a_bound() -> None:
    taken = Taken()
    one, other = taken.connection(), taken.connection()
    for number in range(2 * MOST):
        one.add(("host", b"%d" % number))
    other.add(("host", b"%d" % (2 * MOST - 1)))
    known = [number for number in range(2 * MOST) if ("host", b"%d" % number) in taken]
    assert known == list(range(MOST, 2 * MOST))
    one.close()
    assert ("host", b"%d" % (2 * MOST - 1)) in taken
    other.close()
    assert not taken._standing


def test_the_id_of_a_batch_names_the_sender_and_the_chunk() -> None:
    assert chunk_id(None) == chunk_id(b"") == ""
    assert chunk_id(b"c+/=") == "forward c+/="
    assert chunk_id(b"Zm9vYmFy==\n") == "forward Zm9vYmFy=="
    assert chunk_id(b"c", "192.0.2.1") == "forward 192.0.2.1 c"
    hostile = [b"\xff", b"a\nb", b"x" * 255, "é".encode()]
    senders = [Origin("forward", "forward", sender=sender) for sender in ("", "user:a")]
    found = [one.identified(chunk_id(chunk)).batch_id for one in senders for chunk in hostile]
    assert len(set(found)) == len(found)
    assert all(len((one or "").encode()) <= MAX_ID_BYTES for one in found)
