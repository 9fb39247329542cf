"""The receipt header of an entry, and its split from the bytes that arrived.

An entry is one line of compact JSON, `\\n`, and the bytes exactly as they came. The header is the
same for a whole batch, so it is read once for each distinct header of a call.

A record that no entry can hold is kept as consecutive entries, whose headers say in `part` which
piece of what they are.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from muniment import kernel
from muniment.event.objects import as_int, as_text

_KEYS = {
    "received": "at",
    "source": "as",
    "via": "via",
    "peer": "peer",
    "sender": "from",
    "node": "node",
    "stream": "stream",
}
_BAD_HEADER = "the receipt header is not a JSON object on a line of its own"


@dataclass(frozen=True, slots=True)
class Split:
    """Entries taken apart: as many rows in `raw` and `receipts` as there were entries.

    `raw` holds the bytes (Arrow binary). `receipts` has the columns received (timestamp, UTC),
    source, via, peer, sender, node, stream; `seq`, the sender's number of the first record of the
    batch;
    `about`, the JSON text of what the sender said of the records (a flat object of strings);
    `part`, which piece of a larger record this is, in words, and `part_number`, from 1; and
    `fault`, which is null unless the header could not be read.
    """

    raw: pa.BinaryArray
    receipts: pl.DataFrame


def split(entries: Sequence[bytes]) -> Split:
    """Takes entries apart at their first newline; never raises, whatever the bytes are."""
    known: dict[bytes, int] = {}
    which = array("I")
    raws: list[bytes] = []
    for entry in entries:
        header, newline, raw = entry.partition(b"\n")
        which.append(known.setdefault(header + newline, len(known)))
        raws.append(raw)
    return _joined(list(known), which, pa.array(raws, pa.binary()))


def split_packed(payload: bytes) -> Split:
    """Takes the entries of a packed chunk apart, as `split` does, without an object an entry.

    Raises ValueError where the lengths in the payload do not add up.
    """
    found = kernel.split(payload)
    which = array("I", found.which)
    buffers = [None, pa.py_buffer(found.offsets), pa.py_buffer(found.raw)]
    raws = pa.Array.from_buffers(pa.binary(), len(which), buffers)
    return _joined(found.headers, which, raws)


def _joined(headers: list[bytes], which: array[int], raws: pa.BinaryArray) -> Split:
    receipts = _receipts(headers)
    faults = receipts["fault"]
    if faults.null_count() != len(faults):
        broken = {i for i, fault in enumerate(faults.to_list()) if fault is not None}
        pairs = zip(which, raws.to_pylist(), strict=True)
        whole = [headers[n] + raw if n in broken else raw for n, raw in pairs]
        raws = pa.array(whole, pa.binary())
    if len(headers) == 1:
        rows = pl.DataFrame([one.new_from_index(0, len(which)) for one in receipts.get_columns()])
    else:
        rows = receipts[pl.Series(pa.array(which, pa.uint32()))]
    return Split(raws, rows)


def _receipts(headers: list[bytes]) -> pl.DataFrame:
    decoded = [_header(header) for header in headers]
    columns = {
        name: pl.Series([_member(d, key) for d in decoded], dtype=pl.String)
        for name, key in _KEYS.items()
    }
    given = {
        "seq": pl.Series([as_int(d.get("seq")) for d in decoded], dtype=pl.Int64),
        "about": pl.Series([_about(d.get("about")) for d in decoded], dtype=pl.String),
        "part": pl.Series([_part(d.get("part")) for d in decoded], dtype=pl.String),
        "part_number": pl.Series([_number(d.get("part")) for d in decoded], dtype=pl.Int64),
        "fault": pl.Series([None if d else _BAD_HEADER for d in decoded], dtype=pl.String),
    }
    instant = pl.col("received").str.strptime(pl.Datetime("us"), "%+", strict=False)
    return pl.DataFrame(columns | given).with_columns(instant.cast(pl.Datetime("us", "UTC")))


def _about(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    return orjson.dumps({key: as_text(member) for key, member in value.items()}).decode()


def _number(part: Any) -> int | None:
    return as_int(part.get("number")) if isinstance(part, dict) else None


def _part(value: Any) -> str | None:
    if value is None:
        return None
    given = value if isinstance(value, dict) else {}
    number, of, size = (as_int(given.get(key)) for key in ("number", "of", "bytes"))
    if number is None or of is None or size is None:
        return "part of a record that no entry can hold"
    digest = f", SHA-256 {given['sha256']}" if isinstance(given.get("sha256"), str) else ""
    return f"part {number} of {of} of a record of {size:,} bytes{digest}"


def _header(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _member(header: dict[str, Any], key: str) -> str | None:
    value = header.get(key)
    return value if isinstance(value, str) else None


def as_strings(raws: pa.BinaryArray) -> pa.StringArray:
    """Text of bytes; those that are not UTF-8 stand in it as `\\xNN`."""
    try:
        return raws.cast(pa.string())
    except pa.ArrowInvalid:
        # One array-wide check is far cheaper than one a row; only a batch that fails it pays.
        texts = [raw.decode("utf-8", "backslashreplace") for raw in raws.to_pylist()]
        return pa.array(texts, pa.string())
