"""Codings undone within bounds."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from muniment.budget import Budget, Hold
from muniment.errors import InputError, MunimentError, Overloaded, TooLarge, UnsupportedMedia
from muniment.receive.coding import MAX_MEMBERS, SPILL_BYTES, Coding, decode

MIB = 1 << 20


def hold(total: int = 256 * MIB) -> Hold:
    return Hold(Budget(total))


def test_codings_are_read_without_regard_to_case() -> None:
    assert Coding.of(None) is Coding.IDENTITY
    assert Coding.of("X-GZIP") is Coding.GZIP
    for wrong in ("br", "gzip, gzip"):
        with pytest.raises(UnsupportedMedia, match="coding"):
            Coding.of(wrong)


def test_deflate_may_come_without_its_zlib_header() -> None:
    raw = zlib.compressobj(wbits=-15)
    body = raw.compress(b"line " * 50) + raw.flush()
    assert decode(Coding.DEFLATE, body, MIB, hold().grow) == b"line " * 50


def zstd(data: bytes, **parameters: int) -> bytes:
    return zstandard.ZstdCompressor(**parameters).compress(data)


CODERS = {Coding.GZIP: gzip.compress, Coding.DEFLATE: zlib.compress, Coding.ZSTD: zstd}
coded = pytest.mark.parametrize("coding", list(CODERS))


@coded
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_codings_are_undone_over_several_members(coding: Coding, parts: list[bytes]) -> None:
    body = b"".join(CODERS[coding](part) for part in parts)
    assert decode(coding, body, MIB, hold().grow) == b"".join(parts)


@coded
@pytest.mark.parametrize("size", [SPILL_BYTES - 1, SPILL_BYTES, SPILL_BYTES + 1, 3 * SPILL_BYTES])
def test_a_body_around_the_size_of_one_buffer_comes_back_whole(coding: Coding, size: int) -> None:
    data = (b"%d " * 4_096 % tuple(range(4_096)) * (size // 19_000 + 1))[:size]
    assert decode(coding, CODERS[coding](data), size, hold().grow) == data
    with pytest.raises(TooLarge):
        decode(coding, CODERS[coding](data), size - 1, hold().grow)


@coded
def test_a_refused_body_is_let_go_though_its_error_is_kept(coding: Coding) -> None:
    bomb = CODERS[coding](bytes(4 * SPILL_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge) as kept:
            decode(coding, bomb, 3 * SPILL_BYTES, hold().grow)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.value and held < SPILL_BYTES // 2


@coded
def test_a_large_body_comes_back_whole(coding: Coding) -> None:
    data = b"".join(b"%d %s\n" % (i, str(i * 7919).encode()) for i in range(200_000))
    held = hold()
    assert decode(coding, CODERS[coding](data), 64 * MIB, held.grow) == data
    assert held.amount == len(data)


@coded
@given(data=st.binary(max_size=2_000), cut=st.integers(0, 10_000))
def test_a_body_that_is_cut_short_is_an_error(coding: Coding, data: bytes, cut: int) -> None:
    body = CODERS[coding](data)
    with pytest.raises(InputError):
        decode(coding, body[: cut % len(body)], MIB, hold().grow)


@coded
@pytest.mark.fuzz
@given(body=st.binary(max_size=500))
def test_any_bytes_are_decoded_or_refused(coding: Coding, body: bytes) -> None:
    for attempt in (body, CODERS[coding](b"x" * 1_000)[:20] + body):
        try:
            decode(coding, attempt, MIB, hold().grow)
        except MunimentError:
            continue


@coded
def test_a_bomb_is_stopped_at_the_limit(coding: Coding) -> None:
    bomb = CODERS[coding](bytes(256 * MIB))
    held = hold()
    with pytest.raises(TooLarge, match="unpacks to more than"):
        decode(coding, bomb, 8 * MIB, held.grow)
    assert held.amount <= 8 * MIB


@coded
def test_a_bomb_of_many_members_is_stopped(coding: Coding) -> None:
    with pytest.raises(TooLarge, match="parts"):
        decode(coding, CODERS[coding](b"") * (MAX_MEMBERS + 1), MIB, hold().grow)


def test_a_body_that_unpacks_into_too_much_memory_is_put_off() -> None:
    budget = Budget(10 * MIB)
    budget.take(9 * MIB)
    with pytest.raises(Overloaded), Hold(budget) as held:
        decode(Coding.GZIP, gzip.compress(bytes(4 * MIB)), 64 * MIB, held.grow)
    assert budget.held == 9 * MIB


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (Coding.GZIP, gzip.compress(b"a", mtime=0) + b"rubbish"),
        (Coding.GZIP, zlib.compress(b"a")),
        (Coding.GZIP, gzip.compress(b"a" * 99, mtime=0)[:-8] + bytes(8)),
        (Coding.ZSTD, zstd(b"a") + b"rubbish"),
        (Coding.ZSTD, gzip.compress(b"a", mtime=0)),
        (Coding.ZSTD, b""),
        (Coding.GZIP, b""),
    ],
)
def test_damaged_codings_are_refused(coding: Coding, body: bytes) -> None:
    with pytest.raises(InputError):
        decode(coding, body, MIB, hold().grow)


def test_a_zstd_window_that_needs_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    body = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = body.compress(bytes(1_000)) + body.flush()
    with pytest.raises(InputError):
        decode(Coding.ZSTD, data, MIB, hold().grow)
