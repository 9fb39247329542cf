"""Segments read by others: what they say is doubted, what they lose is done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from tests.segmented_log import SIGNER, archive_log, flip, segments_of, write_log

from muniment.errors import SettingsError, Unavailable
from muniment.log.disk import PosixDisk
from muniment.log.report import Report
from muniment.log.verify_segment import check_segment
from muniment.settings.store import Connection
from muniment.store.local import LocalStore
from muniment.trust.directory import verify_directory
from muniment.trust.executor import Executor, place_of
from muniment.trust.executor_backends import check_executor, open_backend
from muniment.trust.executor_messages import Answer, answer_of, decode_answer, decode_task, encode
from muniment.trust.executor_worker import work
from muniment.trust.stores import StoreQuestion, verify_store

Lie = Callable[[Answer], object]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_log(tmp_path / "data")
    return tmp_path / "data"


def honest(tasks: Mapping[int, bytes]) -> Iterator[object]:
    for task in tasks.values():
        yield work(task)


def lying(lie: Lie, about: int = 3) -> Callable[[Mapping[int, bytes]], Iterator[object]]:
    """Workers of which one tells another thing of one segment."""

    def run(tasks: Mapping[int, bytes]) -> Iterator[object]:
        for number, task in tasks.items():
            answer = decode_answer(work(task))
            told = lie(answer) if number == about else answer
            yield encode(told) if isinstance(told, Answer) else told

    return run


def verified(data: Path, executor: Executor, **options: object) -> Report:
    return verify_directory(data, elsewhere=executor, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_a_log_is_intact_through_joblib_and_a_flipped_bit_is_found(data: Path, name: str) -> None:
    with open_backend(name, 2) as run:
        report = verified(data, Executor(name, run))
        assert report.intact and report.shards == verify_directory(data).shards
        flip(segments_of(data)[4])
        report = verified(data, Executor(name, run))
    assert report.findings[0].file == str(segments_of(data)[4])


def test_the_report_is_that_of_a_local_verification_whatever_is_damaged(data: Path) -> None:
    for path in segments_of(data)[:3]:
        content = path.read_bytes()
        for offset in range(0, len(content), 37):
            flip(path, offset)
            here, there = verify_directory(data), verified(data, Executor("fake", honest))
            assert there.shards == here.shards and there.other == here.other, (path, offset)
            path.write_bytes(content)


def test_what_an_auditor_remembers_is_compared(data: Path, tmp_path: Path) -> None:
    receipts = write_log(tmp_path / "longer")
    longer = [check_segment(PosixDisk(), path, SIGNER.verifier) for path in segments_of(data)]
    assert verified(data, Executor("fake", honest), trust=receipts).intact
    segments_of(data)[-1].unlink()
    segments_of(data)[-1].unlink()
    report = verified(data, Executor("fake", honest), trust=receipts)
    assert "rolled back or cut short" in str(report.findings) and longer[-1].size == 2700


def changed(name: str, value: object) -> Lie:
    return lambda answer: msgspec.structs.replace(answer, **{name: value})


def longer_tiles(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, tiles=[*answer.tiles, b"\0" * 32])


def other_tiles(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, tiles=[bytes(len(one)) for one in answer.tiles])


@pytest.mark.parametrize(
    "lie",
    [
        changed("size", 1_201),
        changed("size", 1_200 + (1 << 62)),
        changed("size", -1),
        changed("first", 0),
        changed("start", b""),
        changed("frontier", b"\1" * 96),
        changed("signature", bytes(64)),
        changed("length", 10),
        changed("sealed", False),
        changed("roots", [(7, b"x")]),
        changed("finding", "something is wrong"),
        changed("trouble", "no such file"),
        changed("number", 2),
        changed("number", 99),
        other_tiles,
        longer_tiles,
        lambda answer: b"{}",
        lambda answer: b"\xff",
        lambda answer: None,
    ],
)
def test_a_lie_is_never_intact(data: Path, lie: Lie) -> None:
    with pytest.raises(Unavailable):
        verified(data, Executor("fake", lying(lie)))


def test_a_lie_about_a_damaged_segment_is_found(data: Path) -> None:
    """A worker that repeats what was true hides a bit; one that says something else does not."""
    path = segments_of(data)[3]
    before = answer_of(3, check_segment(PosixDisk(), path, SIGNER.verifier))
    flip(path)
    report = verified(data, Executor("fake", lying(other_tiles_of(before))))
    assert report.findings[0].file == str(path)


def other_tiles_of(before: Answer) -> Lie:
    return lambda answer: other_tiles(before)


def test_the_segments_that_are_drawn_are_read_here_too(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.trust.executor.SAMPLE", 1)
    path = segments_of(data)[3]
    before = answer_of(3, check_segment(PosixDisk(), path, SIGNER.verifier))
    flip(path)
    executor = Executor("fake", lying(lambda answer: before))
    assert not verified(data, executor).intact
    assert executor.again == sum(executor.workers.values()) == len(segments_of(data))


def test_what_a_dying_cluster_loses_is_asked_again(data: Path) -> None:
    asked: list[list[int]] = []

    def dying(tasks: Mapping[int, bytes]) -> Iterator[object]:
        asked.append(list(tasks))
        for place, task in enumerate(tasks.values()):
            if place == 4 and len(asked) < 3:
                raise ConnectionError("the worker is gone")
            yield work(task)

    assert verified(data, Executor("fake", dying)).intact
    assert [len(one) for one in asked] == [10, 6, 2]
    assert sorted({number for one in asked for number in one}) == list(range(10))


@pytest.mark.parametrize("silent", [True, False])
def test_a_cluster_that_does_not_answer_all_is_a_failure(data: Path, silent: bool) -> None:
    def short(tasks: Mapping[int, bytes]) -> Iterator[object]:
        yield from (work(task) for task in list(tasks.values())[:1])
        if not silent:
            raise RuntimeError("no workers")

    with pytest.raises(Unavailable, match="did not check 7 of 10 segments"):
        verified(data, Executor("fake", short))


def test_another_release_is_refused(data: Path) -> None:
    def older(tasks: Mapping[int, bytes]) -> Iterator[object]:
        for task in tasks.values():
            yield work(encode(msgspec.structs.replace(decode_task(task), release="0.0.1")))

    with pytest.raises(Unavailable, match=r"0\.0\.1 is asked for"):
        verified(data, Executor("fake", older))


def test_a_store_is_read_by_the_workers(data: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    connection = Connection.model_validate({"url": f"file://{tmp_path}/store"})
    store = LocalStore(connection, "primary")
    archive_log(data, store)
    executor = Executor("fake", honest, store=connection)
    assert verify_store(store, StoreQuestion(executor=executor)).intact
    assert list(executor.workers.values()) == [9]
    flip(next((tmp_path / "store").rglob("*00600.seg")))
    for one in (None, Executor("fake", honest, store=connection)):
        report = verify_store(store, StoreQuestion(executor=one))
        assert "00600.seg" in report.findings[0].file


def test_no_secret_travels() -> None:
    told = place_of(
        Connection.model_validate(
            {
                "url": "s3://evidence/a",
                "endpoint": "https://s3.example",
                "access_key": "AKIASECRET",
                "secret_key": "very secret",
                "credentials": "/etc/secret.json",
            }
        )
    )
    assert told["url"] == "s3://evidence/a" and "ecret" not in str(told).replace("/", "")


@pytest.mark.parametrize(
    "name",
    ["", "dask", "dask://", "dask://host", "dask://h:0", "ray://a:1/x", "local", "dask://a b:1"],
)
def test_only_known_executors_are_taken(name: str) -> None:
    with pytest.raises(SettingsError, match="is no executor"):
        check_executor(name)
