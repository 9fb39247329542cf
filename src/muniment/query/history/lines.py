"""What differs between two texts, line by line, in time that grows with their length.

Lines that stand once in both texts are the anchors (patience diff); only the short stretches
between anchors are compared in full, which is quadratic. A stretch that is too long for that is
taken as replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_COMPARED = 250_000
"""Pairs of lines of a stretch that is compared in full."""

MAX_ALL = 4_000_000
"""Pairs of lines of all such stretches of one diff; one or two seconds."""

MAX_TEXT = 1 << 20
"""Characters of a unified diff."""

CONTEXT = 3


class Block(NamedTuple):
    """Lines `a[start:end]` became `b[from_:to]`; both may be empty, not both at once."""

    start: int
    end: int
    from_: int
    to: int


def blocks(a: Sequence[str], b: Sequence[str]) -> list[Block]:
    """Returns what differs, in order."""
    found: list[Block] = []
    at, to, left = 0, 0, MAX_ALL
    for one, other in [*_anchors(a, b), (len(a), len(b))]:
        pairs = (one - at) * (other - to)
        if pairs <= min(MAX_COMPARED, left):
            found += _between(a, b, Block(at, one, to, other))
            left -= pairs
        else:
            found.append(Block(at, one, to, other))
        at, to = one + 1, other + 1
    return _joined(found)


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Places of lines that are in both, in an order that both have; equal ends are among them."""
    same = min(len(a), len(b))
    head = next((n for n in range(same) if a[n] != b[n]), same)
    tail = next((n for n in range(same - head) if a[-1 - n] != b[-1 - n]), same - head)
    inner_a, inner_b = a[head : len(a) - tail], b[head : len(b) - tail]
    middle = [(head + x, head + y) for x, y in _unique(inner_a, inner_b)]
    ends = [(len(a) - n, len(b) - n) for n in range(tail, 0, -1)]
    return [*((n, n) for n in range(head)), *middle, *ends]


def _unique(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """The longest run of pairs of lines, each once in both, that is in order in both."""
    counts_a, counts_b = Counter(a), Counter(b)
    places = {line: n for n, line in enumerate(b) if counts_b[line] == 1}
    pairs = [
        (n, places[line]) for n, line in enumerate(a) if counts_a[line] == 1 and line in places
    ]
    ends: list[int] = []
    lasts: list[int] = []
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        slot = bisect_left(ends, place)
        before.append(lasts[slot - 1] if slot else -1)
        ends[slot : slot + 1] = [place]
        lasts[slot : slot + 1] = [number]
    run: list[tuple[int, int]] = []
    number = lasts[-1] if lasts else -1
    while number >= 0:
        run.append(pairs[number])
        number = before[number]
    return run[::-1]


def _between(a: Sequence[str], b: Sequence[str], whole: Block) -> Iterator[Block]:
    """What differs between the longest lines in common, of a stretch that is short."""
    at, to = whole.start, whole.from_
    for one, other in [*_common(a, b, whole), (whole.end, whole.to)]:
        if at < one or to < other:
            yield Block(at, one, to, other)
        at, to = one + 1, other + 1


def _common(a: Sequence[str], b: Sequence[str], whole: Block) -> Iterator[tuple[int, int]]:
    """The pairs of a longest common subsequence, by a table of all pairs."""
    inner = range(whole.from_, whole.to)
    lengths = [[0] * (len(inner) + 1)]
    for one in range(whole.end - 1, whole.start - 1, -1):
        below, row, line = lengths[-1], [0] * (len(inner) + 1), a[one]
        for place in range(len(inner) - 1, -1, -1):
            same = line == b[whole.from_ + place]
            row[place] = below[place + 1] + 1 if same else max(below[place], row[place + 1])
        lengths.append(row)
    lengths.reverse()
    one, place = 0, 0
    while one < whole.end - whole.start and place < len(inner):
        if a[whole.start + one] == b[whole.from_ + place]:
            yield whole.start + one, whole.from_ + place
            one, place = one + 1, place + 1
        elif lengths[one + 1][place] >= lengths[one][place + 1]:
            one += 1
        else:
            place += 1


def _joined(found: Sequence[Block]) -> list[Block]:
    """Blocks that touch are one."""
    made: list[Block] = []
    for block in found:
        if made and made[-1].end == block.start and made[-1].to == block.from_:
            made[-1] = Block(made[-1].start, block.end, made[-1].from_, block.to)
        else:
            made.append(block)
    return made


def unified(before: str, after: str, from_name: str, to_name: str) -> str:
    """Returns a unified diff with three lines of context, empty where the texts are the same.

    Beyond MAX_TEXT characters it ends with a line that says so.
    """
    if before == after:
        return ""
    a, b = _lines(before), _lines(after)
    size, made = 0, [f"--- {from_name}\n", f"+++ {to_name}\n"]
    for line in _hunks(a, b, blocks(a, b)):
        size += len(line)
        if size > MAX_TEXT:
            made.append("… the rest of the differences is left out\n")
            break
        made.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(made)


def _lines(text: str) -> list[str]:
    """Lines with their newline; nothing else ends a line."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def _hunks(a: Sequence[str], b: Sequence[str], found: Sequence[Block]) -> Iterator[str]:
    groups: list[list[Block]] = []
    for block in found:
        if groups and block.start - groups[-1][-1].end <= 2 * CONTEXT:
            groups[-1].append(block)
        else:
            groups.append([block])
    for group in groups:
        first, last = group[0], group[-1]
        lead = min(CONTEXT, first.start, first.from_)
        trail = min(CONTEXT, len(a) - last.end, len(b) - last.to)
        start, from_ = first.start - lead, first.from_ - lead
        old = _range(start, last.end + trail - start)
        yield f"@@ -{old} +{_range(from_, last.to + trail - from_)} @@\n"
        at = start
        for block in group:
            yield from (" " + line for line in a[at : block.start])
            yield from ("-" + line for line in a[block.start : block.end])
            yield from ("+" + line for line in b[block.from_ : block.to])
            at = block.end
        yield from (" " + line for line in a[at : last.end + trail])


def _range(start: int, length: int) -> str:
    """As `diff -u` writes it: lines count from 1, an empty range names the line before it."""
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
