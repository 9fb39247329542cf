"""Batches of whole lines: together they are the file, byte for byte."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from muniment.cli.sending.lines import Cutter, Oversized, Piece

MAX_LINE = 64

content = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.just(b""),
        st.binary(min_size=MAX_LINE - 1, max_size=MAX_LINE + 2),
        st.integers(1, 400).map(lambda length: b"x" * length),
    ),
    max_size=40,
).map(b"\n".join)


def reader(data: bytes, sizes: list[int]) -> Callable[[int], bytes | None]:
    """Reads in the given sizes, then as asked; a size of 0 is a pipe with nothing to say."""
    stream, steps = io.BytesIO(data), iter(sizes)

    def read(count: int) -> bytes | None:
        size = next(steps, count)
        return stream.read(min(size, count)) if size else None

    return read


def pieces(cutter: Cutter) -> Iterator[Piece | Oversized]:
    while (piece := cutter.next()) is not None:
        yield piece


def cut(data: bytes, sizes: list[int], batch: int, lines: int) -> list[Piece | Oversized]:
    read = reader(data, sizes)
    cutter = Cutter(read, batch_bytes=batch, batch_lines=lines, max_line=MAX_LINE)
    return list(pieces(cutter))


@given(content, st.lists(st.integers(0, 90), max_size=30), st.integers(1, 300), st.integers(1, 9))
def test_every_byte_is_in_one_piece_and_in_order(
    data: bytes, sizes: list[int], batch: int, lines: int
) -> None:
    place, line = 0, 1
    for piece in cut(data, sizes, batch, lines):
        assert (piece.offset, piece.line) == (place, line)
        whole = data[piece.offset : piece.end]
        if isinstance(piece, Oversized):
            assert whole.count(b"\n") <= 1 and len(whole.rstrip(b"\n")) >= piece.length > MAX_LINE
            line += 1
        else:
            assert piece.body == whole
            line += piece.lines
        place = piece.end
    assert place == len(data)


@given(content, st.integers(1, 300), st.integers(1, 9))
def test_pieces_are_whole_lines_within_their_bounds(data: bytes, batch: int, lines: int) -> None:
    found = cut(data, [], batch, lines)
    for piece in found:
        if isinstance(piece, Piece):
            assert piece.body.endswith(b"\n") or piece is found[-1]
            assert piece.lines <= lines
            assert len(piece.body) <= batch or piece.lines == 1
            assert max(map(len, piece.body.split(b"\n"))) <= MAX_LINE


@given(content)
def test_the_lines_that_fit_are_those_of_the_file(data: bytes) -> None:
    kept = [p.body for p in cut(data, [], 100, 1000) if isinstance(p, Piece)]
    lines = [text for body in kept for text in body.removesuffix(b"\n").split(b"\n")]
    expected = data.removesuffix(b"\n").split(b"\n") if data else []
    assert lines == [line for line in expected if len(line) <= MAX_LINE]


@given(content, st.integers(0, 20), st.integers(1, 200))
def test_what_is_taken_back_is_cut_anew(data: bytes, count: int, batch: int) -> None:
    cutter = Cutter(reader(data, []), batch_bytes=300, max_line=MAX_LINE)
    first = cutter.next()
    if not isinstance(first, Piece):
        return
    head, rest = first.split(count)
    assert (head.body if head else b"") + (rest.body if rest else b"") == first.body
    assert (head.lines if head else 0) + (rest.lines if rest else 0) == first.lines
    if rest is not None:
        cutter.push_back(rest)
    cutter.batch_bytes = batch
    again = list(pieces(cutter))
    place = (head.end if head else 0) if rest is not None else first.end
    for piece in again:
        assert piece.offset == place
        place = piece.end
    assert place == len(data)


def test_a_silent_pipe_does_not_hold_back_whole_lines() -> None:
    chunks: list[bytes | None] = [b"one\ntw", None, b"o\n", None, b""]
    cutter = Cutter(lambda _count: chunks.pop(0))
    first, second = cutter.next(), cutter.next()
    assert isinstance(first, Piece) and first.body == b"one\n"
    assert isinstance(second, Piece) and second.body == b"two\n"
    assert cutter.next() is None


def test_a_line_without_end_is_not_kept_in_memory() -> None:
    left = 200

    def endless(count: int) -> bytes:
        nonlocal left
        left -= 1
        return b"x" * count if left else b""

    cutter = Cutter(endless)
    piece = cutter.next()
    assert isinstance(piece, Oversized)
    assert piece.length == 199 * (1 << 18)
    assert cutter.next() is None
