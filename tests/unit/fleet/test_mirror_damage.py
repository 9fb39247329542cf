"""What does not hold is asked for elsewhere; what its key contradicts ends a mirror."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from forger import Forger, keep, sign_with
from hypothesis import given
from hypothesis import strategies as st
from mirroring import LIFE, LOG, PEER, Pulled, SimulatedSource, live, new_mirror, records, shown
from simulated_disk import SimulatedDisk
from small_shard import DIRECTORY, OTHER, SIGNER

from muniment.errors import Corrupt, StoreFailing
from muniment.fleet.calls import PeerFailing
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Gone
from muniment.fleet.mirror.status import MirrorState
from muniment.log import Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.cutter import Cutter
from muniment.log.frame import BadFrame
from muniment.log.note import Note
from muniment.log.raw import End
from muniment.log.replay import Contradiction, Damaged
from muniment.log.verify import verify_shard

SHORT = [LIFE[0], "publish", records(30, 2), "give up", LIFE[5], "publish", "seal", records(2, 9)]
DISK = live(SHORT)
SIZE = shown(DISK).size
SEGMENTS = sorted(path for path in DISK.files() if path.suffix == ".seg")


def stream() -> list[tuple[End, bytes]]:
    """All places of the shard with the bytes there, a segment at a time."""
    return [(End(int(path.stem), 0), DISK.files()[path]) for path in SEGMENTS]


def test_any_flipped_bit_is_damage_and_is_not_written() -> None:
    """Until the whole comes from another source; no flip is taken for another history."""
    for number, (place, data) in enumerate(stream()):
        for offset in range(number, len(data), 7):
            flipped = bytearray(data)
            flipped[offset] ^= 1 << offset % 8
            disk = SimulatedDisk()
            mirror = new_mirror(disk)
            bad, good = SimulatedSource(shown(DISK)), SimulatedSource(shown(DISK), "https://node-2")

            def spoil(
                asked: End, answer: bytes, *, place: End = place, to: bytes = flipped
            ) -> bytes:
                return bytes(to[asked.offset :]) if asked.segment == place.segment else answer

            bad.spoil = spoil
            pulled = Pulled(mirror, bad)
            for _ in range(2 + 2 * number):
                pulled.puller.step()
            assert not pulled.stopped and mirror.size <= SIZE
            assert verify_shard(DIRECTORY, disk=disk).findings == []
            pulled.sources = [bad, good]
            pulled.run()
            assert mirror.size == SIZE
            assert pulled.puller.meters.failures["damaged"] >= 1 or offset > len(data) - 20
            mirror.close()
            assert disk.files() == DISK.files()


def broken_once(place: End, cut: int) -> Callable[[End, bytes], bytes]:
    """Answers whose connection breaks once, at a byte of a segment."""
    broken: list[int] = []

    def spoil(asked: End, answer: bytes) -> bytes:
        if asked.segment != place.segment or broken or asked.offset > cut:
            return answer
        broken.append(cut)
        return answer[: cut - asked.offset]

    return spoil


def test_a_connection_that_breaks_at_each_byte() -> None:
    for place, data in stream():
        for cut in range(0, len(data), 11):
            source = SimulatedSource(shown(DISK))

            source.spoil = broken_once(place, cut)
            mirror = new_mirror()
            pulled = Pulled(mirror, source)
            for _ in range(3):
                pulled.run()
                pulled.clock.seconds += 60
            assert mirror.size == SIZE and not pulled.stopped
            mirror.close()
            assert mirror._disk.files() == DISK.files()  # type: ignore[attr-defined]


def split(at: int, sign: object) -> SimulatedDisk:
    """Another history from an entry on, in files that are whole."""
    forger = Forger(DISK.copy(), DIRECTORY, {at: b"another entry"}, sign)  # type: ignore[arg-type]
    return forger.work()


@pytest.mark.parametrize("at", [0, 2, 32, SIZE - 1])
def test_another_history_of_the_same_key_ends_the_mirror(at: int) -> None:
    """It began with one history, and another source goes on with the other."""
    mirror = new_mirror()
    Pulled(mirror, SimulatedSource(shown(live(SHORT[:3])))).run()
    before = (mirror.size, mirror._disk.files())  # type: ignore[attr-defined]
    pulled = Pulled(mirror, SimulatedSource(shown(split(at, sign_with(SIGNER)))))
    pulled.run()
    assert not pulled.stopped, "bytes alone prove nothing"
    pulled.compare()
    if at >= before[0]:
        assert mirror.size == SIZE and not pulled.stopped
        return
    (error,) = pulled.stopped
    assert PEER in error.file and "a/b" in error.file and error.expected != error.found
    assert (mirror.size, mirror._disk.files()) == before  # type: ignore[attr-defined]
    assert not mirror.health.ok and mirror.health.reason == error.detail
    assert isinstance(error, Contradiction) and len(mirror.evidence) == 2
    for note in mirror.evidence:
        Note.parse(note).check([SIGNER.verifier])
    pulled.sources = [SimulatedSource(shown(DISK))]
    pulled.puller.step()
    assert mirror.size == before[0], "nothing is taken until a person has looked"


def test_another_history_is_found_out_while_the_mirror_goes_on_from_others() -> None:
    """It is further than any other source, so that only its tiles can show it."""
    acts = [*SHORT[:2], records(5, 77), records(400, 78), "publish"]
    mirror = new_mirror()
    Pulled(mirror, SimulatedSource(shown(live(SHORT[:3])))).run()
    other = SimulatedSource(shown(live(acts)), "https://node-2")
    pulled = Pulled(mirror, other, SimulatedSource(shown(DISK)))
    pulled.run()
    assert mirror.size == SIZE < other.size and not pulled.stopped and not pulled.puller.trouble
    pulled.compare()
    (error,) = pulled.stopped
    assert "node-2" in error.file and mirror.evidence == (
        other.checkpoint("a", "b"),
        mirror.checkpoint(),
    )


def test_a_signed_checkpoint_in_the_bytes_is_evidence_by_itself() -> None:
    """A mirror of one group commit, and the checkpoint after another one of the same length."""
    acts: list[Batch | str] = [records(3, 1), "publish"]
    forged = Forger(live(acts), DIRECTORY, {1: b"other entry!"}, sign_with(SIGNER)).work()
    mirror = new_mirror()
    Pulled(mirror, SimulatedSource(shown(live(acts[:1])))).run()
    pulled = Pulled(mirror, SimulatedSource(shown(forged)))
    pulled.run()
    (error,) = pulled.stopped
    assert isinstance(error, Contradiction) and "size 3" in error.expected
    assert mirror.evidence == (shown(forged).checkpoint(), mirror.checkpoint())


@pytest.mark.parametrize("sign", [keep, sign_with(OTHER)])
def test_a_signature_that_does_not_hold_ends_nothing(
    sign: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever shows it is asked less and less often, and the mirror goes on from another."""
    files = split(0, sign).files()
    source = SimulatedSource(shown(DISK))
    source.spoil = lambda place, data: files[SEGMENTS[0]][place.offset :]
    mirror = new_mirror()
    pulled = Pulled(mirror, source)
    for _ in range(6_000):
        pulled.puller.step()
        pulled.clock.seconds += 0.1
    assert not pulled.stopped and mirror.size == 0 and not mirror.problem
    assert 8 < source.asked < 20
    assert pulled.puller.meters.failures == {"refused-source": source.asked}
    assert [record.getMessage() for record in caplog.records if PEER in record.getMessage()] == [
        f"a/b: {PEER} is not used for now: {pulled.puller.trouble}"
    ]
    status = pulled.puller.status()
    assert status.state is MirrorState.UNTRUSTED and "signed by a/b" in status.problem
    assert (mirror.health.ok, mirror.health.reason) == (False, status.problem)
    pulled.sources.append(SimulatedSource(shown(DISK), "https://node-2"))
    pulled.run()
    assert mirror.size == SIZE and mirror.health.ok
    assert pulled.puller.status().state is MirrorState.FOLLOWING


def test_a_checkpoint_that_is_not_signed_ends_nothing() -> None:
    class Lying(SimulatedSource):
        note: str | None = OTHER.sign(str(Checkpoint("a/b", 1, bytes(32))))

        def checkpoint(self, log: str, shard: str) -> str | None:
            return self.note or super().checkpoint(log, shard)

    source = Lying(shown(DISK))
    mirror = new_mirror()
    pulled = Pulled(mirror, source)
    pulled.run()
    pulled.compare()
    assert not pulled.stopped and pulled.puller.meters.failures == {"refused-source": 1}
    pulled.puller.step()
    assert pulled.puller.status().state is MirrorState.UNTRUSTED
    source.note = None
    pulled.compare()
    pulled.puller.step()
    assert mirror.health.ok and pulled.puller.status().state is MirrorState.FOLLOWING


def test_checkpoints_that_others_show_are_held_against_it() -> None:
    mirror = new_mirror()
    Pulled(mirror, SimulatedSource(shown(live(SHORT[:3])))).run()
    whole, other = shown(DISK), shown(split(0, sign_with(SIGNER)))
    for moment in range(1, len(SHORT) + 1):
        note = shown(live(SHORT[:moment])).checkpoint()
        assert note is not None
        mirror.compare(note, PEER)
    ahead = SIGNER.sign(str(Checkpoint("a/b", SIZE, bytes(32))))
    mirror.compare(ahead, "https://node-9")
    same_size = SIGNER.sign(str(Checkpoint("a/b", mirror.size, other.reader.root_at(mirror.size))))
    with pytest.raises(Corrupt, match="another history") as error:
        mirror.compare(same_size, PEER)
    assert isinstance(error.value, Contradiction) and PEER in error.value.file
    assert mirror.evidence == (same_size, mirror.checkpoint())
    note = whole.checkpoint()
    assert note is not None
    Pulled(mirror, SimulatedSource(whole)).run()
    with pytest.raises(Corrupt, match="node-9"):
        mirror.compare(note, PEER)


@pytest.mark.parametrize(
    ("note", "kind"),
    [
        ("", Damaged),
        ("no note\n", Damaged),
        ("x\n\n\u2014 a/b AAAAAAA=\n", Damaged),
        (OTHER.sign(str(Checkpoint("a/b", 1, bytes(32)))), Corrupt),
        (SIGNER.sign(str(Checkpoint("a/c", 1, bytes(32)))), Corrupt),
    ],
)
def test_what_is_no_checkpoint_of_the_shard(note: str, kind: type[Corrupt]) -> None:
    with pytest.raises(kind) as error:
        new_mirror().compare(note, PEER)
    assert isinstance(error.value, Damaged) == (kind is Damaged)
    assert not isinstance(error.value, Contradiction)


def test_a_source_that_fails_rests_and_another_one_is_asked() -> None:
    mirror = new_mirror()
    bad, good = SimulatedSource(shown(DISK)), SimulatedSource(shown(DISK), "https://node-2")
    bad.failing = PeerFailing("it hangs")
    pulled = Pulled(mirror, bad, good)
    pulled.run()
    assert mirror.size == SIZE and bad.asked == 1
    assert pulled.puller.meters.failures == {"unreachable": 1}
    assert pulled.puller.source == good.name
    for error in (Gone("gone"), StoreFailing("slow", reason="slow"), PeerFailing("again")):
        bad.failing = good.failing = error
        pulled.clock.seconds += 100
        assert pulled.puller.step() == 0 and pulled.puller.trouble == error.detail
    assert pulled.puller.meters.failures == {"unreachable": 3, "expired": 1}


def test_a_source_that_fails_is_asked_less_and_less_often() -> None:
    source = SimulatedSource(shown(DISK))
    source.failing = PeerFailing("no")
    pulled = Pulled(new_mirror(), source)
    for _ in range(6_000):
        pulled.puller.step()
        pulled.clock.seconds += 0.1
    assert 20 < source.asked < 60


def test_a_peer_that_stops_at_each_step_is_gone_on_without() -> None:
    count = 0
    while True:
        mirror = new_mirror()
        first = SimulatedSource(shown(DISK), most=300)
        pulled = Pulled(mirror, first)
        for _ in range(count):
            pulled.puller.step()
        alone = mirror.size
        first.failing = PeerFailing("it is gone")
        pulled.sources.append(SimulatedSource(shown(DISK), "https://node-2", most=300))
        pulled.run()
        assert mirror.size == SIZE and not pulled.stopped
        mirror.close()
        assert mirror._disk.files() == DISK.files()  # type: ignore[attr-defined]
        if alone == SIZE:
            return
        count += 1


def test_lag_is_in_entries_and_seconds() -> None:
    source = SimulatedSource(shown(DISK))
    source.failing = PeerFailing("no")
    pulled = Pulled(new_mirror(), source)
    pulled.puller.step()
    pulled.clock.seconds += 5
    assert pulled.puller.lag.behind(0) == (SIZE, 5.0)
    source.failing = None
    pulled.run()
    assert pulled.puller.lag.behind(pulled.shard.size) == (0, 0.0)


PIECES = [data for _, data in stream()]


@pytest.mark.fuzz
@given(st.data())
def test_any_bytes_are_cut_or_refused(data: st.DataObject) -> None:
    """Whatever comes in whatever parts: the same pieces, none lost, or BadFrame."""
    source = data.draw(st.sampled_from(PIECES))[data.draw(st.integers(0, 90)) :]
    place = data.draw(st.integers(0, len(source)))
    change = data.draw(st.binary(max_size=30))
    whole = source[:place] + change + source[place + len(change) :]
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=9).map(sorted))
    assert cut([whole]) == cut(
        [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    )


def cut(parts: list[bytes]) -> tuple[bytes, bool, int]:
    """The pieces together, whether the bytes were refused, and what is held if not."""
    cutter, found = Cutter(), b""
    try:
        for part in parts:
            cutter.add(part)
            while (piece := cutter.next()) is not None:
                found += piece.data
    except BadFrame:
        return found, True, 0
    assert len(found) + len(cutter) == sum(map(len, parts))
    return found, False, len(cutter)


@pytest.mark.fuzz
@given(st.integers(0, 2), st.data())
def test_any_bytes_grow_a_mirror_or_are_refused(number: int, data: st.DataObject) -> None:
    """What is in the files verifies always, and is a beginning of the true history."""
    disk = SimulatedDisk()
    mirror = new_mirror(disk)
    place, whole = stream()[number]
    Pulled(mirror, SimulatedSource(Until(place.segment))).run()
    at = data.draw(st.integers(0, len(whole)))
    change = data.draw(st.binary(max_size=80) | st.sampled_from([p[85:400] for p in PIECES]))
    mutated = whole[:at] + change + whole[at + len(change) :]
    if mirror.place.offset:
        mirror.cross()
    try:
        mirror.grow(mutated, PEER)
    except Corrupt as error:
        assert not isinstance(error, Contradiction), "nobody signed it"
        assert mirror.place.offset in (0, mirror.raw.end.offset)
    mirror.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    held = mirror.size
    assert mirror.reader.read(0, held or 1).entries == shown(DISK).reader.read(0, held).entries


class Until:
    """The shard as it is up to a segment."""

    def __init__(self, segment: int) -> None:
        self._shard = shown(DISK)
        self.size, self._end = segment, End(segment, 0)

    @property
    def raw(self) -> object:
        return self._shard.reader.raw(self._end)

    def checkpoint(self) -> None:
        return None


def test_a_mirror_whose_own_files_are_damaged_is_not_opened() -> None:
    disk = SimulatedDisk()
    mirror = new_mirror(disk)
    Pulled(mirror, SimulatedSource(shown(DISK))).run()
    mirror.close()
    tiles = DIRECTORY / "checkpoints"
    disk.poke(tiles, b"another file\n" * 20)
    files = disk.files()
    with pytest.raises(Corrupt):
        MirroredShard.open(LOG, DIRECTORY, disk)
    assert disk.files() == files
