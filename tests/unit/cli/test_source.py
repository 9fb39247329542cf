"""Sources: plain, gzip and zstd files, and pipes, give the same bytes."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.cli.sending.source import Source
from muniment.errors import InputError


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def plain(data: bytes) -> bytes:
    return data


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "log": plain,
    "log.gz": gzip.compress,
    "log.zst": zstd,
}


def content_of(source: Source, count: int = 1 << 16) -> bytes:
    return b"".join(iter(lambda: source.read(count) or b"", b""))


def no_sleep(_seconds: float) -> None:
    """Nobody writes to the file meanwhile."""


@pytest.mark.parametrize("suffix", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(parts=st.lists(st.binary(max_size=3000), max_size=4), count=st.integers(1, 5000))
def test_the_content_is_that_of_all_frames(
    tmp_path: Path, suffix: str, parts: list[bytes], count: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"".join(map(KINDS[suffix], parts)))
    with Source(str(path), no_sleep) as source:
        assert content_of(source, count) == b"".join(parts)


@pytest.mark.parametrize("suffix", KINDS)
def test_ranges_can_be_read_in_any_order(tmp_path: Path, suffix: str) -> None:
    data = b"".join(b"line %d\n" % number for number in range(20_000))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(KINDS[suffix](data))
    with Source(str(path)) as source:
        assert source.exactly(100_000, 100_500) == data[100_000:100_500]
        assert source.digest(10, 50_000) == sha256(data[10:50_000]).hexdigest()
        assert source.digest(10, len(data) + 1) is None
        source.go_to(len(data) - 5)
        assert content_of(source) == data[-5:]


@pytest.mark.parametrize("suffix", ["log.gz", "log.zst"])
def test_compressed_data_that_is_cut_short_is_an_error_after_its_content(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    whole = KINDS[suffix](b"".join(b"line %d\n" % (n * n) for n in range(50_000)))
    path.write_bytes(whole[:-20])
    with Source(str(path)) as source, pytest.raises(InputError, match="cut short"):
        content_of(source)


@pytest.mark.parametrize("suffix", ["log.gz", "log.zst"])
def test_data_that_is_not_compressed_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"this is plain text\n")
    with Source(str(path)) as source, pytest.raises(InputError, match="damaged"):
        content_of(source)


def test_a_line_that_is_being_written_is_given_time_to_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntw")

    def writer(_seconds: float) -> None:
        with path.open("ab") as file:
            file.write(b"o\n")

    with Source(str(path), writer) as source:
        assert content_of(source) == b"one\ntwo\n"


def test_a_renamed_file_is_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    with Source(str(path)) as source:
        before = source.identity
    with Source(str(path.rename(tmp_path / "a.log.1"))) as source:
        after = source.identity
    assert before is not None and after is not None
    assert (before.device, before.inode) == (after.device, after.inode)
