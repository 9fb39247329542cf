"""Tile paths of C2SP tlog-tiles: one canonical form each way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.log.tiles import parse_tile_path, tile_path


@given(st.integers(0, 10**18 - 1), st.integers(1, 256))
def test_a_path_is_read_back(number: int, width: int) -> None:
    path = tile_path(number)
    partial = path if width == 256 else f"{path}.p/{width}"
    assert parse_tile_path(partial) == (number, width)


@pytest.mark.parametrize(
    ("number", "path"),
    [
        (0, "000"),
        (5, "005"),
        (999, "999"),
        (1000, "x001/000"),
        (1_234_067, "x001/x234/067"),
        (10**15, "x001/x000/x000/x000/x000/000"),
    ],
)
def test_the_examples_of_the_document(number: int, path: str) -> None:
    assert tile_path(number) == path
    assert parse_tile_path(path) == (number, 256)


BAD_PATHS = [
    *("", "/", "5", "05", "0005", "x005", "x000/005", "000/005", "x001", "x001/x000", "001/000"),
    *("X001/000", "x001//000", "/000", "000/", "x001/000/", "-05", "+05", " 05", "0x5"),
    *("000.p/0", "000.p/256", "000.p/05", "000.p/", "000.p/-1", "000.p/1/", "000.p"),
    *("000.p/\u0661", "\u0661\u0661\u0661"),
    *("000.p/1.p/1", ".p/5", "x001/000.p/257", "000.p/" + "1" * 5000, "x001/" * 6 + "000"),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_PATHS, ids=lambda text: text[:20])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_tile_path(text)


@pytest.mark.fuzz
@given(st.one_of(st.text(), st.text("x0129/.p")))
def test_any_text_is_a_canonical_path_or_refused(text: str) -> None:
    try:
        number, width = parse_tile_path(text)
    except ValueError:
        return
    assert text == (tile_path(number) if width == 256 else f"{tile_path(number)}.p/{width}")
