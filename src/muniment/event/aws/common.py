"""What the logs of Elastic Load Balancing have in common: their fields, and what was wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from muniment.event import stamps
from muniment.event.escapes import BACKSLASH, undo
from muniment.event.nulls import nulls
from muniment.event.request import address

TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"
HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+)"
CLIENT = rf"{HOST}:[0-9]{{1,5}}"
TARGET = rf"(?:{CLIENT}|-)"
SECONDS = r"(?:-1|-|[0-9]+(?:\.[0-9]+)?)"
STATUS = r"(?:[0-9]{1,3}|-)"
COUNT = r"(?:[0-9]+|-)"
WORD = r"[^ \"]+"
QUOTED = r'"[^"]*"'

_TOKEN = re.compile(r'"[^"]*"(?=[ ,]|$)|[^ ]+')


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a line: its name in AWS's documentation, and what can stand there."""

    name: str
    pattern: str

    def fits(self, text: str) -> bool:
        """Whether a text can be this field."""
        return re.fullmatch(self.pattern, text, re.ASCII) is not None


def fault(kind: str, fields: Sequence[Field], line: str) -> str:
    """Returns what is wrong with a line that does not fit."""
    tokens = _TOKEN.finditer(line[:65_536])
    for number, field in enumerate(fields, 1):
        token = next(tokens, None)
        if token is None:
            return f"the line ends before field {number} of {kind}, {field.name}"
        if not field.fits(token[0]):
            return f"field {number} of {kind}, {field.name}, is {token[0][:80]!r}"
    return f"what follows the fields of {kind} cannot be read"


def faulty(kind: str, fields: Sequence[Field], lines: pl.Series) -> pl.DataFrame:
    """Rows of lines that do not fit, with what is wrong with each."""
    reasons = [fault(kind, fields, line) for line in lines.to_list()]
    return pl.DataFrame({"parse_error": pl.Series(reasons, dtype=pl.String)})


def whole(fields: Sequence[Field]) -> str:
    """Returns the pattern of a line that begins with these fields, whatever follows."""
    return "^" + " ".join(field.pattern for field in fields) + "(?: |$)"


def instant(column: str) -> pl.Expr:
    """A time in UTC."""
    return stamps.rfc3339(pl.col(column))


def given(column: str) -> pl.Expr:
    """Text, null where it is `-`."""
    return pl.col(column).replace({"-": None, "": None})


def number(column: str) -> pl.Expr:
    """A count; null where it is `-` or -1."""
    value = pl.col(column).cast(pl.Int64, strict=False)
    return pl.when(value >= 0).then(value)


def seconds(column: str) -> pl.Expr:
    """Seconds as a number; null where it is `-` or -1 (the phase was not reached)."""
    value = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(value >= 0).then(value)


def plain(text: pl.Series) -> pl.Series:
    r"""A quoted field without its quotes: `-` is null, `\x22` a quote."""
    return undo(text.replace({"-": None, "": None}), BACKSLASH)


def endpoint(text: pl.Series, prefix: str) -> list[pl.Series]:
    """`address:port` as the columns {prefix}_ip and {prefix}_port; null where it is `-`."""
    return address(text.replace("-", None), prefix)[:2]


def node(trailing: pl.Series) -> pl.Series:
    """The address of the balancer's node, the first field that is nothing but an address."""
    if trailing.null_count() == len(trailing):
        return nulls(len(trailing), pl.String)
    return trailing.str.extract(
        r"(?:^| )([0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-f]*:[0-9a-f:]+)(?: |$)"
    )


def with_members(events: pl.DataFrame, column: str, members: dict[str, pl.Series]) -> pl.DataFrame:
    """Events with these members in an object; those that are all null are left out."""
    used = [value.alias(name) for name, value in members.items() if value.null_count() < len(value)]
    if not used:
        return events
    if column not in events.columns:
        return events.with_columns(pl.DataFrame(used).to_struct(column))
    there = events[column].struct.unnest()
    return events.with_columns(there.with_columns(used).to_struct(column))
