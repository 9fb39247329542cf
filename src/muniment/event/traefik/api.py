"""Requests to Traefik's own API, which a router like any other leads to."""

from __future__ import annotations

import polars as pl

from muniment.event.nulls import nulls

SERVICE = "traefik"
_INTERNAL = ("api@internal", "rest@internal")
# /api/http/routers/NAME, /api/entrypoints/NAME, /api/providers/rest
_PATH = r"/api/(?:(?:http|tcp|udp)/)?(?P<kind>[a-z]+?)s?(?:/(?P<name>[^/?]+))?$"


def acts(flat: pl.DataFrame) -> pl.DataFrame:
    """What `administration.with_acts` wants, of the columns frontend, backend, method, path."""
    none = nulls(flat.height, pl.String)
    given = [flat[n] if n in flat.columns else none for n in ("frontend", "backend")]
    inside = given[0].is_in(_INTERNAL) | given[1].is_in(_INTERNAL).fill_null(False)
    # The dashboard's files come from the same service; an API path says more.
    act = inside.fill_null(False) & flat["path"].str.contains("/api/", literal=True)
    where = flat["path"].str.extract_groups(_PATH).struct.unnest()
    return pl.DataFrame(
        {"act": act, "method": flat["method"], "kind": where["kind"], "name": where["name"]}
    ).with_columns(
        pl.concat_str(
            "method",
            pl.concat_str(pl.lit("/api/"), flat["path"].str.extract("/api/(.*)$")),
            separator=" ",
            ignore_nulls=True,
        ).alias("operation")
    )
