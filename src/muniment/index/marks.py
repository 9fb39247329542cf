"""How far an index on disk has come: by shard, in the transaction notes of its Delta log.

They are in the same commit as the rows, and in every checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from muniment.index.part import Part

ABSENT = ":absent"
COPIES = ":copies"
"""Behind the name of a shard, in which there is no colon."""


@dataclass(slots=True)
class Marks:
    """By shard: the index of the first entry that is not in the parts (`cursors`), how many entries
    before it have no row there (`absent`: they are copies, or have expired), and how many of these
    are copies.

    So the rows of a shard and its `absent` entries are as many as its cursor says.
    """

    cursors: dict[str, int] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, noted: Mapping[str, int]) -> Marks:
        """Reads the notes of a Delta log. Earlier versions noted nothing but cursors."""
        found = cls()
        for name, value in noted.items():
            if name.endswith(ABSENT):
                found.absent[name.removesuffix(ABSENT)] = value
            elif name.endswith(COPIES):
                found.copies[name.removesuffix(COPIES)] = value
            else:
                found.cursors[name] = value
        return found

    def count_absent(self, parts: Sequence[Part]) -> None:
        """Takes what an earlier version did not note from what there is."""
        rows = rows_by_shard(parts)
        for shard, cursor in self.cursors.items():
            self.absent.setdefault(shard, cursor - rows[shard])

    def moved(
        self, cursors: Mapping[str, int], absent: Mapping[str, int], copies: Mapping[str, int]
    ) -> dict[str, int]:
        """Goes on: `cursors` as they are then, so many entries more; returns what to note."""
        self.cursors |= cursors
        for shard in cursors.keys() | absent.keys():
            self.absent[shard] = self.absent.get(shard, 0) + absent.get(shard, 0)
        for shard, count in copies.items():
            self.copies[shard] = self.copies.get(shard, 0) + count
        noted = dict(cursors)
        noted |= {f"{s}{ABSENT}": self.absent[s] for s in cursors.keys() | absent.keys()}
        return noted | {f"{shard}{COPIES}": self.copies[shard] for shard in copies}

    def wrong(self, parts: Sequence[Part]) -> dict[str, str]:
        """Returns by shard why its rows cannot be all that there were."""
        rows = rows_by_shard(parts)
        return {
            shard: f"holds {rows[shard]} rows of shard {shard} and notes {absent} entries without "
            f"one, which together are not the {self.cursors[shard]} before its cursor"
            for shard, absent in self.absent.items()
            if shard in self.cursors and rows[shard] + absent != self.cursors[shard]
        }


def rows_by_shard(parts: Sequence[Part]) -> Counter[str]:
    """Returns how many rows of each shard parts have."""
    rows: Counter[str] = Counter()
    for part in parts:
        rows[part.shard] += part.rows
    return rows
