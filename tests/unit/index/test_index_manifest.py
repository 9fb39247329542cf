"""The manifest is a strict form of what sha256sum(1) prints."""

from __future__ import annotations

import contextlib
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.index.manifest import (
    NAME,
    append_manifest,
    format_manifest,
    parse_manifest,
    replace_manifest,
)

DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
PATH = st.from_regex(r"_delta_log/[0-9A-Za-z._-]{1,30}", fullmatch=True)


@given(st.dictionaries(PATH, DIGEST))
def test_what_is_printed_is_read_back(digests: dict[str, str]) -> None:
    assert parse_manifest(format_manifest(digests)) == digests


@given(st.dictionaries(PATH, DIGEST, min_size=1, max_size=3), st.data())
def test_every_flipped_bit_changes_the_meaning_or_is_refused(
    digests: dict[str, str], data: st.DataObject
) -> None:
    text = bytearray(format_manifest(digests))
    bit = data.draw(st.integers(0, len(text) * 8 - 1))
    text[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(ValueError):
        assert parse_manifest(bytes(text)) != digests


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert format_manifest(parse_manifest(data)) == data


def test_a_line_that_is_wrong_is_named() -> None:
    good = format_manifest({"_delta_log/a": "0" * 64})
    with pytest.raises(ValueError, match="line 2 is not whole"):
        parse_manifest(good + b"0123")
    with pytest.raises(ValueError, match="line 2 names _delta_log/a a second time"):
        parse_manifest(good * 2)


def test_sha256sum_can_check_it(tmp_path: Path) -> None:
    folder = tmp_path / "_delta_log"
    folder.mkdir()
    (folder / "a").write_bytes(b"one")
    (folder / "b").write_bytes(b"two")
    replace_manifest(tmp_path, {"_delta_log/a": sha256(b"one").hexdigest()})
    append_manifest(tmp_path, {"_delta_log/b": sha256(b"two").hexdigest()})
    subprocess.run(["sha256sum", "--check", "--strict", NAME], cwd=tmp_path, check=True)
