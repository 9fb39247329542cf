"""From the bytes of a file to records: lines, or several lines where the first of each is known."""

from __future__ import annotations

import re
from collections.abc import Sequence

Pattern = re.Pattern[bytes]


def whole_lines(data: bytes) -> tuple[list[bytes], int]:
    """Returns the lines that end in `data`, without their newlines, and the bytes they take."""
    end = data.rfind(b"\n") + 1
    if not end:
        return [], 0
    lines = data[:end].split(b"\n")
    lines.pop()
    return lines, end


def all_lines(data: bytes) -> tuple[list[bytes], int]:
    """Returns the lines of `data`, the last one without its newline too."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines, len(data)


def grouped(lines: Sequence[bytes], first: Pattern) -> tuple[list[bytes], int]:
    """Returns records of several lines, and how many bytes the last one takes with its newlines.

    A record begins where a line matches `first`; what stands before the first such line is a
    record too. The last one may go on in the lines that follow: the caller judges that.
    """
    records: list[bytes] = []
    begin = 0
    for number, line in enumerate(lines):
        if number > begin and first.search(line):
            records.append(b"\n".join(lines[begin:number]))
            begin = number
    if begin < len(lines):
        records.append(b"\n".join(lines[begin:]))
    return records, sum(len(line) + 1 for line in lines[begin:])
