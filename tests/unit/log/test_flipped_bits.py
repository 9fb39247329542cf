"""Every single bit of every file of a small shard, flipped one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_shard import (
    DIRECTORY,
    FILES,
    NOTES,
    SEGMENTS,
    SHARD,
    SIGNER,
    TILES,
    VERIFIER,
    changed,
    findings,
    flips,
    opens_unharmed,
    reader,
)

from muniment.errors import Corrupt, SettingsError
from muniment.log import Shard
from muniment.log.frame import Kind
from muniment.log.history import all_places

STRIDE = 48
STRIPES = [(path, at) for path, data in FILES.items() for at in range(0, len(data), STRIDE)]


def over(stripes: list[tuple[Path, int]]) -> pytest.MarkDecorator:
    names = [f"{path.name}-{start}" for path, start in stripes]
    return pytest.mark.parametrize(("path", "start"), stripes, ids=names)


stripes = over(STRIPES)
in_segments = over([(path, start) for path, start in STRIPES if path in SEGMENTS])
FRAMES = [
    (place.header.first, place.header.count)
    for path in SEGMENTS
    for place in all_places(SHARD.disk, path)
    if place.header.kind is Kind.ENTRIES
]


def test_the_small_shard_has_everything_and_is_intact() -> None:
    assert set(FILES) == {*SEGMENTS, NOTES, TILES, VERIFIER}
    assert SHARD.receipts[-1] in FILES[NOTES].decode()
    assert findings(SHARD.disk, trust=SHARD.receipts, keys=[SIGNER.verifier]) == []
    assert opens_unharmed(SHARD.disk.copy())
    assert reader(SHARD.disk).read(0).entries == SHARD.entries


@stripes
def test_verification_names_the_file_of_a_flipped_bit(path: Path, start: int) -> None:
    disk = SHARD.disk.copy()
    for offset, data in flips(FILES[path], start, start + STRIDE):
        disk.poke(path, data)
        found = findings(disk)
        assert any(finding.file == str(path) for finding in found), (offset, found)
        place = found[0].offset
        assert place is None or place <= offset, (offset, found)


@stripes
def test_a_start_refuses_a_flipped_bit_or_is_not_harmed_by_it(path: Path, start: int) -> None:
    for offset, data in flips(FILES[path], start, start + STRIDE):
        disk = changed(path, data)
        try:
            assert opens_unharmed(disk), offset
        except Corrupt as error:
            assert error.file in {str(path), str(NOTES)}
            assert disk.files()[path] == data


@in_segments
def test_a_reader_gives_the_true_entries_or_an_error(path: Path, start: int) -> None:
    disk = SHARD.disk.copy()
    for offset, data in flips(FILES[path], start, start + STRIDE):
        disk.poke(path, data)
        damaged = reader(disk)
        for first, count in FRAMES:
            try:
                entries = damaged.read(first, count).entries
            except Corrupt as error:
                assert error.file == str(path)
            else:
                assert entries == SHARD.entries[first : first + count], offset


@pytest.mark.parametrize("offset", range(len(FILES[VERIFIER])))
def test_a_start_refuses_another_verifier(offset: int) -> None:
    for _, data in flips(FILES[VERIFIER], offset, offset + 1):
        disk = changed(VERIFIER, data)
        if data.strip() == FILES[VERIFIER].strip():
            continue
        with pytest.raises(SettingsError):
            Shard.open(DIRECTORY, SIGNER, log="a", disk=disk)
        assert disk.files()[NOTES] == FILES[NOTES]
