"""The receipt header of an entry, and its split from the bytes that arrived.

An entry is one line of compact JSON, `\\n`, and the bytes exactly as they came. The header is the
same for a whole batch, so it is read once for each distinct header of a call.
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

_KEYS = {
    "received": "at",
    "source": "as",
    "via": "via",
    "peer": "peer",
    "sender": "from",
    "node": "node",
}
_BAD_HEADER = "the receipt header is not a JSON object on a line of its own"


@dataclass(frozen=True, slots=True)
class Split:
    """Entries taken apart: as many rows in `raw` and `receipts` as there were entries.

    `raw` is text (Arrow string); bytes that are not UTF-8 stand in it as `\\xNN`. `receipts` has
    the columns received (timestamp, UTC), source, via, peer, sender, node and `fault`, which is
    null unless the header could not be read.
    """

    raw: pa.StringArray
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
    return Split(_text(raws), rows)


def _receipts(headers: list[bytes]) -> pl.DataFrame:
    decoded = [_header(header) for header in headers]
    columns = {
        name: pl.Series([_member(d, key) for d in decoded], dtype=pl.String)
        for name, key in _KEYS.items()
    }
    frame = pl.DataFrame(columns | {"fault": [None if d else _BAD_HEADER for d in decoded]})
    instant = pl.col("received").str.strptime(pl.Datetime("us"), "%+", strict=False)
    return frame.with_columns(
        instant.cast(pl.Datetime("us", "UTC")), pl.col("fault").cast(pl.String)
    )


def _header(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _member(header: dict[str, Any], key: str) -> str | None:
    value = header.get(key)
    return value if isinstance(value, str) else None


def _text(raws: pa.BinaryArray) -> pa.StringArray:
    try:
        return raws.cast(pa.string())
    except pa.ArrowInvalid:
        # One array-wide check is far cheaper than one a row; only a batch that fails it pays.
        texts = [raw.decode("utf-8", "backslashreplace") for raw in raws.to_pylist()]
        return pa.array(texts, pa.string())
