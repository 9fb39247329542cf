"""The spool: durable before it says so, the same after a crash, bounded, and never out of order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_disk import Fault, PowerLoss, SimulatedDisk, at_step

from muniment import kernel
from muniment.capture.chain import first_head, next_head, payload_of
from muniment.capture.parcel import MAX_RECORD, Parcel, decode
from muniment.capture.port import Stopped
from muniment.capture.spool.frames import BEGIN, Frame
from muniment.capture.spool.packing import pieces_of
from muniment.capture.spool.reserve import RESERVE_BYTES
from muniment.capture.spool.segments import Segment, frames
from muniment.capture.spool.spool import Spool
from muniment.errors import Corrupt, InputError, TooLarge
from muniment.log.disk import AppendFile, Disk, PosixDisk

MIB = 1 << 20
FAILURES = [Fault.FAILED, Fault.PERSISTED, Fault.TORN, Fault.DROPPED]


class Notes(list[str]):
    """What a spool told."""

    def __call__(self, action: str, **fields: object) -> None:
        self.append(action)


def open_spool(directory: Path, disk: Disk | None = None, **options: object) -> Spool:
    """A spool below `directory`; the file that is never synced is always a real one."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"limit": 8 * MIB, "parcel_bytes": 64 << 10, **options}
    return Spool(directory, "lb1", disk or PosixDisk(), **settings)  # type: ignore[arg-type]


def sent(spool: Spool, keep: int | None = None) -> list[Parcel]:
    """Takes and acknowledges all there is, or the first `keep` parcels."""
    found: list[Parcel] = []
    while (keep is None or len(found) < keep) and (waiting := spool.outgoing.take(0)) is not None:
        found.append(opened(waiting.frame))
        spool.outgoing.acknowledge(waiting)
    return found


def opened(frame: Frame) -> Parcel:
    """The parcel of a frame, unpacked."""
    size = int.from_bytes(frame.parcel[5:9], "little")
    import zstandard

    data = zstandard.ZstdDecompressor().decompress(frame.parcel, max_output_size=size or 1 << 26)
    return decode(data)


def assert_chained(parcels: list[Parcel]) -> dict[str, list[bytes]]:
    """Each stream's parcels follow each other; returns its records."""
    heads: dict[str, tuple[int, bytes]] = {}
    records: dict[str, list[bytes]] = {}
    for one in parcels:
        seq, head = heads.get(one.stream, (1, first_head(one.stream)))
        assert (one.seq, one.prev) == (seq, head.hex())
        after = next_head(head, seq, len(one.records), payload_of(one.records))
        heads[one.stream] = (seq + len(one.records), after)
        records.setdefault(one.stream, []).extend(one.records)
    return records


def test_what_is_put_comes_out_in_order_and_chained(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    assert spool.put("access", "haproxy", [b"a", b"b"], about={"file": "/f"}) == 1
    assert spool.put("other", "change", [b"c"]) == 1
    assert spool.put("access", "haproxy", [b""]) == 3
    parcels = sent(spool)
    assert [(p.stream, p.seq, p.source) for p in parcels] == [
        ("lb1/access", 1, "haproxy"),
        ("lb1/other", 1, "change"),
        ("lb1/access", 3, "haproxy"),
    ]
    assert parcels[0].about == {"file": "/f"}
    assert assert_chained(parcels) == {"lb1/access": [b"a", b"b", b""], "lb1/other": [b"c"]}
    assert spool.held == 0
    spool.close()


def test_positions_and_heads_outlive_the_parcels(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    assert spool.position("access") is None
    spool.put("access", "haproxy", [b"a"], position={"offset": 2})
    spool.put("access", "haproxy", [b"b"])
    spool.put("quiet", "haproxy", [], position={"at": "end"})
    first = sent(spool)
    spool.close()
    again = open_spool(tmp_path)
    assert list(tmp_path.glob("*.parcels")) == []
    assert again.position("access") == {"offset": 2}
    assert again.position("quiet") == {"at": "end"}
    again.put("access", "haproxy", [b"c"])
    assert assert_chained(first + sent(again))["lb1/access"] == [b"a", b"b", b"c"]
    again.close()


def test_what_was_not_acknowledged_is_sent_again_with_the_same_bytes(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(5):
        spool.put("access", "text", [b"%d" % number])
    sent(spool, keep=2)
    waiting = spool.outgoing.take(0)
    assert waiting is not None
    spool.close()
    again = open_spool(tmp_path)
    same = again.outgoing.take(0)
    assert same is not None
    assert same.frame.parcel == waiting.frame.parcel
    assert [p.seq for p in sent(again)] == [3, 4, 5]
    again.close()


def test_one_put_of_many_records_is_several_parcels(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    records = [b"%06d" % n * 100 for n in range(1_000)]
    assert spool.put("access", "text", records, position={"n": 1}) == 1
    parcels = sent(spool)
    assert len(parcels) > 5
    assert assert_chained(parcels) == {"lb1/access": records}
    spool.close()


@given(st.lists(st.binary(max_size=40), max_size=60), st.integers(1, 100))
def test_pieces_are_all_there_and_bounded(records: list[bytes], most: int) -> None:
    pieces = pieces_of(records, most)
    assert [record for piece in pieces for record in piece] == records
    assert all(len(piece) == 1 or sum(map(len, piece)) <= most for piece in pieces)


def test_what_cannot_be_a_record_or_a_stream_is_refused(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with pytest.raises(TooLarge):
        spool.put("access", "text", [bytes(MAX_RECORD + 1)])
    with pytest.raises(InputError):
        spool.put("with space", "text", [b"x"])
    assert spool.held == 0
    spool.close()


def test_a_stream_is_one_threads(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with spool._claimed("lb1/access"), pytest.raises(InputError, match="two threads"):
        spool.put("access", "text", [b"x"])
    spool.put("access", "text", [b"x"])
    spool.close()


def test_a_full_spool_lets_wait_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    notes = Notes()
    spool = open_spool(tmp_path, limit=4 * MIB, note=notes)
    noise = Random(1).randbytes(600_000)
    done = threading.Event()

    def fill() -> None:
        for _ in range(8):
            spool.put("access", "text", [noise])
        done.set()

    feed = threading.Thread(target=fill, daemon=True)
    feed.start()
    while not spool.full:
        assert not done.wait(0.02)
    assert not done.wait(0.5)
    assert spool.full
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4 * MIB
    spool.put("agent", "muniment", [b"full"])
    taken: list[Parcel] = []
    while not done.is_set() or spool.held:
        taken += sent(spool, keep=1)
        assert sum(path.stat().st_size for path in tmp_path.glob("*.parcels")) <= 4 * MIB + 700_000
    feed.join()
    assert len(assert_chained(taken)["lb1/access"]) == 8
    assert notes == ["capture.spool_full", "capture.spool_ready"] * (len(notes) // 2)
    spool.close()


def test_who_waits_for_room_is_told_that_the_agent_stops(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limit=4 * MIB)
    noise = Random(1).randbytes(600_000)
    raised: list[bool] = []

    def fill() -> None:
        try:
            while True:
                spool.put("access", "text", [noise])
        except Stopped:
            raised.append(True)

    feed = threading.Thread(target=fill, daemon=True)
    feed.start()
    while not spool.full:
        pass
    spool.stop()
    feed.join(10)
    assert raised == [True]
    spool.close()


def write_until(disk: SimulatedDisk, directory: Path, gone: Callable[[], bool]) -> list[bytes]:
    """Puts ten records one by one; returns those whose put returned before the power was lost."""
    kept: list[bytes] = []
    spool = None
    try:
        spool = open_spool(directory, disk)
        for number in range(10):
            record = b"record %d" % number
            done = threading.Event()

            def put(record: bytes = record, done: threading.Event = done) -> None:
                spool.put("access", "text", [record], position={"n": record.decode()})
                done.set()

            threading.Thread(target=put, daemon=True).start()
            while not done.wait(0.02):
                if gone():
                    return kept
            kept.append(record)
    except PowerLoss:
        return kept
    spool.close()
    return kept


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("number", range(20))
def test_power_loss_at_any_step_loses_nothing_that_was_put(tmp_path: Path, number: int) -> None:
    disk = SimulatedDisk()
    disk.make_directory(tmp_path)
    steps = len(disk.steps)
    disk.plan = at_step(steps + number, Fault.POWER)
    kept = write_until(disk, tmp_path, lambda: disk._off)
    for seed in range(5):
        after = disk.after_power_loss(Random(seed))
        spool = open_spool(tmp_path, after)
        records = assert_chained(sent(spool)).get("lb1/access", [])
        assert records[: len(kept)] == kept
        assert len(records) <= len(kept) + 1
        position = {"n": records[-1].decode()} if records else None
        assert spool.position("access") == position
        spool.put("access", "text", [b"more"])
        assert [p.records for p in sent(spool)] == [[b"more"]]
        spool.close()
        (tmp_path / "acknowledged").unlink()


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("number", range(12))
def test_a_disk_that_fails_once_loses_nothing_and_doubles_nothing(
    tmp_path: Path, fault: Fault, number: int
) -> None:
    disk = SimulatedDisk()
    disk.make_directory(tmp_path)
    planned = len(disk.steps) + number
    disk.plan = at_step(planned, fault)
    expected = [b"record %d" % n for n in range(10)]
    kept = write_until(disk, tmp_path, lambda: False)
    assert kept == expected
    found = open_spool(tmp_path, disk.killed())
    records: list[bytes] = []
    for parcel in sent(found):  # a repetition has the same number, and the same bytes
        records[parcel.seq - 1 :] = parcel.records
    assert records == expected
    found.close()
    syncs = [step for step in disk.steps if step.operation == "sync"]
    failed = disk.steps[planned]
    if failed.operation == "sync":  # a file whose sync failed is never synced again
        assert all(s.path != failed.path or s.number <= failed.number for s in syncs)


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    notes = Notes()
    disk = SimulatedDisk()
    disk.make_directory(tmp_path)
    spool = open_spool(tmp_path, disk, note=notes)
    spool.put("access", "text", [b"before"])
    disk.room = 100
    done = threading.Event()

    def put() -> None:
        spool.put("access", "text", [Random(2).randbytes(5_000)])
        done.set()

    steps = len(disk.steps)
    threading.Thread(target=put, daemon=True).start()
    while len(disk.steps) == steps:
        assert not done.wait(0.01)
    assert not done.wait(0.3)
    assert len(sent(spool)) == 1
    disk.room = None
    assert done.wait(20)
    assert notes == ["capture.spool_written"]
    assert len(sent(spool)) == 1
    spool.close()
    assert {p.name for p in disk.files()} == {"streams.json", "reserve"}, (
        "what could not be removed is removed"
    )


class FullDisk(PosixDisk):
    """A disk that has room for the standing of the streams only when the reserve is given up."""

    def create(self, path: Path, mode: int = 0o644) -> AppendFile:
        if path.name == ".streams.json.new" and (path.parent / "reserve").exists():
            raise OSError(28, "No space left on device")
        return super().create(path, mode)


def test_a_spool_that_filled_the_disk_can_be_emptied(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, FullDisk())
    for _ in range(3):
        spool.put("access", "text", [Random(1).randbytes(700_000)])
    assert len(list(tmp_path.glob("*.parcels"))) == 3
    assert len(sent(spool)) == 3
    spool.outgoing.take(0)
    assert len(list(tmp_path.glob("*.parcels"))) <= 1
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES
    spool.close()


def test_a_damaged_segment_is_passed_over_and_told(tmp_path: Path) -> None:
    notes = Notes()
    spool = open_spool(tmp_path, note=notes)
    spool.put("access", "text", [b"one"])
    spool.put("access", "text", [b"two"])
    (segment,) = tmp_path.glob("*.parcels")
    data = bytearray(segment.read_bytes())
    data[len(BEGIN) + 20] ^= 1
    segment.write_bytes(data)
    (left,) = sent(spool)
    assert (left.seq, left.records) == (2, [b"two"])
    assert notes == ["capture.damaged"]
    spool.close()


@pytest.mark.parametrize("place", [0, 1, 5, 20, 100, 150])
def test_a_damaged_frame_costs_a_restart_no_other(tmp_path: Path, place: int) -> None:
    notes = Notes()
    spool = open_spool(tmp_path, note=notes)
    for number in range(1, 10):
        spool.put("access", "text", [b"record %d" % number], position={"at": number})
    first = spool.outgoing.take(0)
    assert first is not None
    spool.close()
    (segment,) = tmp_path.glob("*.parcels")
    data = bytearray(segment.read_bytes())
    data[first.end + place] ^= 0x10
    segment.write_bytes(data)
    spool = open_spool(tmp_path, note=notes)
    assert spool.position("access") == {"at": 9}
    assert spool.put("access", "text", [b"record 10"]) == 10
    found = [parcel.seq for parcel in sent(spool)]
    assert found == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    assert notes == ["capture.damaged"]
    spool.close()


def test_streams_that_cannot_be_read_stop_the_agent(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.put("access", "text", [b"one"])
    sent(spool)
    spool.close()
    (tmp_path / "streams.json").write_bytes(b'{"streams":{"lb1/access":{"next":0}}}')
    with pytest.raises(Corrupt):
        open_spool(tmp_path)


@pytest.mark.fuzz
@given(
    st.lists(st.binary(max_size=30), max_size=6),
    st.integers(0, 2_000),
    st.binary(max_size=20),
    st.integers(0, 30),
)
def test_any_bytes_of_a_segment_are_read_where_they_are_good(
    parcels: list[bytes], place: int, junk: bytes, removed: int
) -> None:
    disk = SimulatedDisk()
    made = [
        Frame("lb1/a", n + 1, 1, bytes([n]) * 32, kernel.compress(p), {"n": n})
        for n, p in enumerate(parcels)
    ]
    encoded = [frame.encode() for frame in made]
    data = BEGIN + b"".join(encoded)
    place %= len(data) + 1
    changed = data[:place] + junk + data[place + removed :]
    path = Path("000000000001.parcels")
    disk.poke(path, changed)
    found = [frame for frame, _ in frames(disk, Segment(1, path, len(changed)))]
    good, at, whole = 0, len(BEGIN), []
    for frame, one in zip(made, encoded, strict=True):
        if place + removed <= at:
            whole.append(frame)
        at += len(one)
        good += at <= place
    assert found[:good] == made[:good]
    assert found[len(found) - len(whole) :] == whole, "what stands behind the damage is read"
    assert all(frame in made for frame in found)
