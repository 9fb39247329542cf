"""What instances say they served: the agent's looks at the counters of balancers, in OCSF columns.

    {"instance": "haproxy:lb1", "time": "2026-11-21T10:00:05.000Z",
     "counters": [{"name": "http-in", "served": 10412, "epoch": "4711 2026-11-21T09:00:00Z",
                   "match": "frontend:http-in", "dropped": 0}]}

OCSF has no class for this: it is a Base Event. The instance is in `resources`, its system in
`metadata.product`, the counters in words in `message` and as JSON in `unmapped`, bounded; all of
them stay in `raw_data`.
"""

from __future__ import annotations

import orjson
import polars as pl

from muniment.event.instants import instants
from muniment.event.objects import Object, decode_object
from muniment.event.served import MAX_TEXT, Served, served
from muniment.event.source import Context

SOURCE_NAME = "counters"
_SHOWN = 20
_KEPT = 100
_NO_COUNTERS = "the object has no `instance` and `counters`"


class Counters:
    """The source `counters`."""

    def parse(self, lines: pl.Series, context: Context) -> pl.DataFrame:  # noqa: ARG002
        looks = [decode_object(line) for line in lines.to_list()]
        errors = [_fault(look) for look in looks]
        good = [
            look if isinstance(look, dict) and error is None else {}
            for look, error in zip(looks, errors, strict=True)
        ]
        instances = pl.Series([look.get("instance") for look in good], dtype=pl.String)
        system = instances.str.splitn(":", 2).struct.field("field_0")
        known = pl.lit(instances.is_not_null())
        return pl.DataFrame(
            {
                "instance": instances,
                "system": system,
                "time_dt": instants([look.get("time") for look in good]),
                "message": pl.Series([_words(look) for look in good], dtype=pl.String),
                "unmapped": pl.Series([_kept(look) for look in good], dtype=pl.String),
                "parse_error": pl.Series(errors, dtype=pl.String),
            }
        ).select(
            "time_dt",
            "message",
            "unmapped",
            "parse_error",
            pl.when(known)
            .then(pl.concat_list(pl.struct(pl.col("instance").alias("name"))))
            .alias("resources"),
            pl.struct(pl.struct(pl.col("system").alias("name")).alias("product")).alias("metadata"),
        )


def _fault(look: Object | str) -> str | None:
    if isinstance(look, str):
        return look
    fits = isinstance(look.get("instance"), str) and isinstance(look.get("counters"), list)
    return None if fits else _NO_COUNTERS


def _words(look: Object) -> str | None:
    if not look:
        return None
    found = list(served(look))
    parts = [_phrase(one) for one in found[:_SHOWN]]
    if len(found) > _SHOWN:
        parts.append(f"{len(found) - _SHOWN:,} more")
    return f"{look['instance'][:MAX_TEXT]} served {', '.join(parts) or 'nothing that is counted'}"


def _phrase(one: Served) -> str:
    lost = f" (dropped {one.dropped:,} log lines)" if one.dropped else ""
    return f"{one.name[:200]} {one.served:,}{lost}"


def _kept(look: Object) -> str | None:
    """What has no column, as far as it is not out of proportion."""
    if not look:
        return None
    others = {k: v for k, v in look.items() if k not in ("instance", "time") and v is not None}
    others["counters"] = look["counters"][:_KEPT]
    return orjson.dumps(others).decode()


SOURCE = Counters()
