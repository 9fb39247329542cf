"""Connections and TLS handshakes that NetScaler logs."""

from __future__ import annotations

from typing import Any

import polars as pl

from muniment.event import ocsf
from muniment.event.access import network_events
from muniment.event.citrix.audit import pairs
from muniment.event.request import host
from muniment.event.unmapped import json_object

EVENTS = {
    "CONN_TERMINATE": ocsf.CLOSE,
    "CONN_DELINK": ocsf.CLOSE,
    "OTHERCONN_DELINK": ocsf.CLOSE,
    "NAT_CONN_DELINK": ocsf.CLOSE,
    "NAT_OTHERCONN_DELINK": ocsf.CLOSE,
    "TCPCONNSTAT": ocsf.CLOSE,
    "UDPFLOWSTAT": ocsf.CLOSE,
    "CONN_ESTABLISHED": ocsf.OPEN,
    "SSL_HANDSHAKE_SUCCESS": ocsf.OPEN,
    "SSL_HANDSHAKE_FAILURE": ocsf.FAIL,
}
Connection = dict[str, Any]


def connection(event: str, rest: str) -> Connection:
    """What a message of a connection says, under the names of a flat access log."""
    given = pairs(rest)
    source = given.pop("Source", None) or given.pop("ClientIP", None)
    vserver = given.pop("Vserver", None) or given.pop("VserverServiceIP", None)
    flat: Connection = {
        "activity_id": EVENTS[event],
        "status_id": ocsf.FAILURE if event.endswith("FAILURE") else ocsf.SUCCESS,
        "source": _with(source, given.pop("ClientPort", None)),
        "local": _with(vserver, given.pop("VserverServicePort", None)),
        "destination": given.pop("Destination", None),
        "bytes_in": _whole(given.pop("Total_bytes_send", None)),
        "bytes_out": _whole(given.pop("Total_bytes_recv", None)),
        "tls_version": given.pop("ClientVersion", None),
        "tls_cipher": given.pop("CipherSuite", None),
        "message": rest,
        "given": given,
    }
    return flat


def _with(address: str | None, port: str | None) -> str | None:
    if address is None or port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _whole(text: str | None) -> int | None:
    ok = text is not None and text.isascii() and text.isdecimal() and len(text) < 19
    return int(text) if ok and text is not None else None


def events(rows: list[Connection], product: str) -> pl.DataFrame:
    """Network Activity events of connections with `micros`, `code`, `host` and `beside`."""

    def texts(name: str) -> pl.Series:
        return pl.Series([row[name] for row in rows], dtype=pl.String)

    ip, port, name = host(texts("source"), "client")
    local_ip, local_port, _ = host(texts("local"), "local")
    server_ip, server_port, server = host(texts("destination"), "server")
    micros = pl.Series([row["micros"] for row in rows], dtype=pl.Int64)
    flat = pl.DataFrame(
        [ip, port, name, local_ip, local_port, server_ip, server_port]
    ).with_columns(
        server.alias("server"),
        *(texts(n).alias(n) for n in ("message", "tls_version", "tls_cipher", "host")),
        *(
            pl.Series(n, [row[n] for row in rows], dtype=pl.Int64)
            for n in ("bytes_in", "bytes_out", "activity_id", "status_id")
        ),
        micros.cast(pl.Datetime("us")).cast(pl.Datetime("us", "UTC")).alias("time_dt"),
        pl.lit(ocsf.INFORMATIONAL, pl.Int32).alias("severity_id"),
    )
    keys = dict.fromkeys(key for row in rows for key in (*row["given"], *row["beside"]))
    rest = pl.DataFrame(
        {
            key: pl.Series([row["given"].get(key) or row["beside"].get(key) for row in rows]).cast(
                pl.String
            )
            for key in keys
        }
    )
    unmapped = rest.select(json_object({key: pl.col(key) for key in keys}).alias("unmapped"))
    flat = flat.with_columns(unmapped.to_series())
    made = network_events(flat, product, "connection")
    metadata = made["metadata"].struct.unnest().with_columns(texts("code").alias("event_code"))
    return made.with_columns(
        metadata.to_struct("metadata"),
        flat.select(pl.struct(pl.col("host").alias("hostname")).alias("device")).to_series(),
    )
