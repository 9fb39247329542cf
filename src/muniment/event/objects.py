"""Lines of JSON objects as columns of values, whatever the objects hold.

Decoding is one call into C a line; everything after it works on whole columns. A value of another
type than its column is never lost: it is turned into what it plainly is (`"200"` is 200 for an
integer column, 200 is `"200"` for text), or else handed back to be kept under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import polars as pl

Object = dict[str, Any]
_PAIR_BOUNDARY = ',"'
_MAX_REPAIRS = 4
_INT64 = 2**63


def decode_object(line: str) -> Object | str:
    """The object of a line, or the reason why it has none."""
    try:
        value = orjson.loads(line)
    except (orjson.JSONDecodeError, RecursionError) as error:
        return f"not valid JSON: {error}"
    return value if isinstance(value, dict) else "valid JSON, but not an object"


def salvage(line: str) -> Object | None:
    """The whole pairs at the start of an object whose end is missing; None when there are none."""
    end = len(line)
    for _ in range(_MAX_REPAIRS):
        end = line.rfind(_PAIR_BOUNDARY, 0, end)
        if end < 0:
            return None
        value = decode_object(line[:end] + "}")
        if isinstance(value, dict):
            return value
    return None


_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def repair_backslash_x(line: str) -> str:
    r"""JSON in which `\xNN` stands, which JSON does not know, with that text made literal."""
    return _ESCAPE.sub(lambda m: r"\\x" if m[1] == "x" else m[0], line)


class Objects:
    """Decoded objects as columns; every value is given out once, what is left is `unmapped`.

    A row that is no object has None in every column.
    """

    def __init__(self, rows: list[Object | None]) -> None:
        self._rows = rows
        self._keys: set[str] = set()
        for row in rows:
            if row:
                self._keys.update(row)
        self._taken: set[str] = set()
        self._refused: dict[str, dict[int, Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def is_missing(self, row: int) -> bool:
        """Whether there is no object at all in a row."""
        return self._rows[row] is None

    def has(self, *keys: str) -> bool:
        """Whether any row has one of the keys."""
        return not self._keys.isdisjoint(keys)

    def values(self, key: str) -> list[Any]:
        """The values of `key`, None where it is missing; marks the key as taken."""
        self._taken.add(key)
        return [None if row is None else row.get(key) for row in self._rows]

    def first(self, keys: Iterable[str]) -> list[Any]:
        """For each row the value of the first of `keys` that it has and that is not null."""
        columns = [self.values(key) for key in keys if key in self._keys]
        if not columns:
            return [None] * len(self._rows)
        found = columns[0]
        for other in columns[1:]:
            found = [o if f is None else f for f, o in zip(found, other, strict=True)]
        return found

    def refuse(self, key: str, row: int, value: Any) -> None:
        """Hands a value back, to be kept in `unmapped` under `key`."""
        self._refused.setdefault(key, {})[row] = value

    def unmapped(self) -> pl.Series:
        """JSON text of what was not taken, null where nothing is left."""
        left = self._keys - self._taken
        if not left and not self._refused:
            return pl.Series("unmapped", [None] * len(self._rows), dtype=pl.String)
        texts: list[str | None] = []
        for number, row in enumerate(self._rows):
            rest = {k: v for k, v in row.items() if k in left and v is not None} if row else {}
            for key, refused in self._refused.items():
                if number in refused:
                    rest[key] = refused[number]
            texts.append(orjson.dumps(rest).decode() if rest else None)
        return pl.Series("unmapped", texts, dtype=pl.String)


def as_text(value: Any) -> str | None:
    """Text of a scalar, JSON of anything else."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return orjson.dumps(value).decode()


def as_int(value: Any) -> int | None:
    """An integer that fits into 64 bits, also from decimal text or a whole float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip()
        if not digits.removeprefix("-").isdecimal() or not digits.isascii() or len(digits) > 19:
            return None
        value = int(digits)
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    return value if isinstance(value, int) and -_INT64 <= value < _INT64 else None


def text_column(values: list[Any]) -> pl.Series:
    """A String column; scalars become text, lists and objects JSON."""
    try:
        return pl.Series(values, dtype=pl.String, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series([as_text(value) for value in values], dtype=pl.String)


def converted(
    objects: Objects, key: str, values: list[Any], convert: Callable[[Any], Any], dtype: Any
) -> pl.Series:
    """A column of `convert(value)`; values for which that is None are refused under `key`."""
    made = [None if value is None else convert(value) for value in values]
    for row, (value, result) in enumerate(zip(values, made, strict=True)):
        if result is None and value is not None:
            objects.refuse(key, row, value)
    return pl.Series(made, dtype=dtype)
