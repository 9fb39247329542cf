"""Files cut short, removed, swapped, put back to an older copy: verification names the place."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from small_shard import (
    DIRECTORY,
    FILES,
    GROUPS,
    NOTES,
    OTHER,
    SEGMENTS,
    SHARD,
    SIGNER,
    TILES,
    VERIFIER,
    changed,
    findings,
    live,
    named,
    opens_unharmed,
)

from muniment.errors import Corrupt
from muniment.log.checkpoint import Checkpoint, split_notes

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def partners(path: Path) -> set[Path]:
    """The files that a file is checked against, besides itself."""
    if path not in SEGMENTS:
        return {path}
    return {path, NOTES, *SEGMENTS[SEGMENTS.index(path) + 1 :][:1]}


def opens_unharmed_or_refuses(path: Path, data: bytes | None) -> bool:
    try:
        return opens_unharmed(changed(path, data))
    except Corrupt:
        return True


@every_file
@pytest.mark.parametrize("part", range(4))
def test_a_file_cut_short(path: Path, part: int) -> None:
    """Where only the end is missing, the file that says how much there must be is named."""
    data = FILES[path]
    for length in range(part, len(data), 4):
        assert named(changed(path, data[:length]), *partners(path)), length
        assert opens_unharmed_or_refuses(path, data[:length]), length


@every_file
@pytest.mark.parametrize("more", [b"\0", b"\n", bytes(64), b"MNMF", b"MUNIEND1"])
def test_a_file_made_longer(path: Path, more: bytes) -> None:
    assert named(changed(path, FILES[path] + more), path)


@every_file
def test_a_removed_file(path: Path) -> None:
    assert named(changed(path, None), *partners(path))
    if path == TILES:
        with pytest.raises(Corrupt):
            opens_unharmed(changed(path, None))


@pytest.mark.parametrize(("one", "other"), list(permutations(SEGMENTS, 2)))
def test_segments_swapped_or_copied_over_each_other(one: Path, other: Path) -> None:
    assert named(changed(one, FILES[other]), one)
    disk = changed(one, FILES[other])
    disk.poke(other, FILES[one])
    assert named(disk, one, other)


@pytest.mark.parametrize(("one", "other"), list(permutations(FILES, 2)))
def test_any_file_in_the_place_of_any_other(one: Path, other: Path) -> None:
    assert named(changed(one, FILES[other]), one)
    if one != VERIFIER:
        assert opens_unharmed_or_refuses(one, FILES[other])


def older_copies() -> list[tuple[Path, bytes | None]]:
    """Each file as it was at each earlier moment, where that differs."""
    copies = {(path, moment.files().get(path)) for moment in SHARD.moments for path in FILES} - set(
        FILES.items()
    )
    return sorted(copies, key=lambda copy: (copy[0], copy[1] or b""))


def test_every_file_that_grows_has_older_copies() -> None:
    assert {path for path, _ in older_copies()} == set(FILES) - {VERIFIER}


@pytest.mark.parametrize(("path", "data"), older_copies(), ids=lambda value: str(len(str(value))))
def test_an_older_copy_of_a_file(path: Path, data: bytes | None) -> None:
    assert named(changed(path, data), *partners(path))
    assert opens_unharmed_or_refuses(path, data)


@pytest.mark.parametrize("moment", range(len(SHARD.moments)))
def test_a_whole_directory_rolled_back_is_found_with_a_later_receipt(moment: int) -> None:
    """Each older state is consistent, but for a publication cut off between its two files."""
    disk = SHARD.moments[moment]
    assert findings(disk) == []
    for receipt in SHARD.receipts[moment:]:
        size = Checkpoint.of_note(receipt).size
        found = findings(disk, trust=[receipt])
        if size > state_size(moment):
            assert [f.file for f in found] == [str(DIRECTORY)]
        else:
            assert found == []
    assert findings(disk, trust=SHARD.receipts[:moment]) == []


def state_size(moment: int) -> int:
    return sum(batch.count for group in GROUPS[:moment] for batch in group)


def test_another_history_is_found_with_a_receipt() -> None:
    """The key's holder can write a whole other log; whoever kept a receipt can show it."""
    other = live([*GROUPS[:2], GROUPS[3], *GROUPS[2:]]).disk
    assert findings(other, keys=[SIGNER.verifier]) == []
    assert findings(other, trust=SHARD.receipts[:2]) == []
    for receipt in SHARD.receipts[2:]:
        assert findings(other, trust=[receipt])


def test_a_receipt_in_the_middle_of_a_frame_is_checked() -> None:
    whole = live([[batch for group in GROUPS for batch in group]])
    for receipt in SHARD.receipts:
        assert findings(whole.disk, trust=[receipt]) == []
    other = live([[batch for group in [*GROUPS[4:], *GROUPS[:4]] for batch in group]])
    for receipt in SHARD.receipts[:-1]:
        assert findings(other.disk, trust=[receipt])


@pytest.mark.parametrize("number", range(4))
def test_a_checkpoint_signed_by_another_key(number: int) -> None:
    notes = split_notes(FILES[NOTES].decode())
    assert len(notes) == 4
    text = notes[number].partition("\n\n")[0] + "\n"
    assert text in SIGNER.sign(text) and SIGNER.sign(text) == notes[number]
    notes[number] = OTHER.sign(text)
    assert named(changed(NOTES, "".join(notes).encode()), NOTES)


def test_another_verifier_and_a_log_of_another_key() -> None:
    assert findings(changed(VERIFIER, f"{OTHER.verifier}\n".encode()))
    other = live(GROUPS, OTHER).disk
    assert findings(other) == []
    assert [f.file for f in findings(other, keys=[SIGNER.verifier])] == [str(VERIFIER)]
    assert [f.file for f in findings(other, trust=SHARD.receipts[:1])] == [str(VERIFIER)]


STRANGE_NAMES = [
    "notes.txt",
    "000000000000000000.seg",
    "00000000000000000261.seg.cut-5",
    ".checkpoints.new",
    "tiles/2",
    "tiles/01",
    "tiles/0",
    "tiles/\u00b2",
    "tiles/.1.new",
]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_file_that_does_not_belong_there(name: str) -> None:
    assert named(changed(DIRECTORY / name, b""), DIRECTORY / name)


@pytest.mark.parametrize("name", ["00000000000000000304.seg", "checkpoints", "verifier"])
def test_damage_in_two_places_names_both(name: str) -> None:
    disk = changed(DIRECTORY / name, b"?" + FILES[DIRECTORY / name][1:])
    disk.poke(SEGMENTS[0], FILES[SEGMENTS[0]][:-1])
    assert named(disk, DIRECTORY / name)
    if name != "verifier":
        assert named(disk, SEGMENTS[0])
