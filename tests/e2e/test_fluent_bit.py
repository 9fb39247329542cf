"""A real Fluent Bit ships every line of a file by the forward protocol with acknowledgements,
Elasticsearch bulk, Loki push, Splunk HEC, plain HTTP and syslog, and tries again over kills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from .harness.fluent_bit import FluentBit, fluent_bit
from .harness.process import free_port
from .harness.server import MunimentServer, serving
from .harness.shipping import assert_exact, assert_found, assert_nothing_lost

LISTENERS = {"forward": "forward", "forward-key": "forward", "loki": "loki", "splunk": "splunk"}
"""The logs that have a listener of their own, and what it speaks: Fluent Bit cannot say a path."""

LOGS = [*LISTENERS, "elastic", "http", "syslog"]
RETRIED = [log for log in LOGS if log not in ("syslog", "loki")]
"""Syslog has no acknowledgements; this Loki output stops for good after an outage (its project's
issues 3328 and 3969)."""

KEY = "a key that both know"


@dataclass
class Shipping:
    """A server and a Fluent Bit that sends to it."""

    server: MunimentServer
    shipper: FluentBit


@pytest.fixture(scope="module")
def shipping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipping]:
    directory = tmp_path_factory.mktemp("fluent-bit")
    ports = {log: free_port() for log in LISTENERS}
    with (
        serving(directory, config=receiving(ports)) as server,
        fluent_bit(directory, outputs(server, ports)) as shipper,
    ):
        yield Shipping(server, shipper)


def receiving(ports: dict[str, int]) -> str:
    """The server's settings: a log for each output, and the listeners."""
    text = f'logs = {json.dumps(LOGS)}\nsyslog_log = "syslog"\n'
    for log, protocol in LISTENERS.items():
        text += f'[[receive]]\nprotocol = "{protocol}"\nlog = "{log}"\n'
        text += f'listen = "127.0.0.1:{ports[log]}"\n'
        text += f'shared_key = "{KEY}"\n' if log == "forward-key" else ""
    return text


def outputs(server: MunimentServer, ports: dict[str, int]) -> list[dict[str, Any]]:
    """One output for each log."""
    forward = {"name": "forward", "host": "127.0.0.1", "require_ack_response": "on"}
    entries = "/api/v1/logs/http/entries?as=record"
    return [
        {**forward, "port": ports["forward"], "compress": "gzip"},
        {**forward, "port": ports["forward-key"], "shared_key": KEY, "self_hostname": "edge"},
        {
            "name": "loki",
            "host": "127.0.0.1",
            "port": ports["loki"],
            "labels": "job=edge",
        },
        {
            "name": "splunk",
            "host": "127.0.0.1",
            "port": ports["splunk"],
            "splunk_token": server.admin_token,
        },
        {
            "name": "es",
            "host": "127.0.0.1",
            "port": server.port,
            "path": "/in/elastic",
            "suppress_type_name": "on",
        },
        {
            "name": "http",
            "host": "127.0.0.1",
            "port": server.port,
            "uri": entries,
            "format": "json",  # an array; json_lines calls itself application/json
        },
        {
            "name": "syslog",
            "host": "127.0.0.1",
            "port": server.syslog_port,
            "mode": "tcp",
            "syslog_format": "rfc5424",
            "syslog_message_key": "log",
        },
    ]


def test_identical_lines_stay_as_many_as_they_were(shipping: Shipping) -> None:
    assert_exact(shipping.server, shipping.shipper, LOGS)


def test_each_line_is_found_by_what_stands_in_it(shipping: Shipping) -> None:
    assert_found(shipping.server, shipping.shipper, LOGS)


def test_no_acknowledged_protocol_loses_a_line_over_kills(shipping: Shipping) -> None:
    assert_nothing_lost(shipping.server, shipping.shipper, RETRIED)
