"""A real OpenTelemetry Collector ships every line of a file by OTLP, Elasticsearch bulk, Splunk
HEC, Loki push and syslog; with acknowledgements none is lost over kills of the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .harness.otelcol import ACKNOWLEDGED, LOGS, Collector, otelcol, receiving
from .harness.process import free_port
from .harness.server import MunimentServer, serving
from .harness.shipping import assert_exact, assert_found, assert_nothing_lost, entries, write
from .harness.waiting import wait_for


@dataclass
class Shipping:
    """A server and a collector that sends to it."""

    server: MunimentServer
    collector: Collector


@pytest.fixture(scope="module")
def shipping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipping]:
    directory, grpc = tmp_path_factory.mktemp("otelcol"), free_port()
    with (
        serving(directory, config=receiving(grpc)) as server,
        otelcol(directory, server, grpc, server.admin_token) as collector,
    ):
        yield Shipping(server, collector)


def test_identical_lines_stay_as_many_as_they_were(shipping: Shipping) -> None:
    assert_exact(shipping.server, shipping.collector, LOGS)


def test_each_line_is_found_by_what_stands_in_it(shipping: Shipping) -> None:
    assert_found(shipping.server, shipping.collector, LOGS)


def test_no_acknowledged_protocol_loses_a_line_over_kills(shipping: Shipping) -> None:
    assert_nothing_lost(shipping.server, shipping.collector, ACKNOWLEDGED)


def test_a_wrong_token_is_refused_and_the_right_one_is_named(tmp_path: Path) -> None:
    grpc = free_port()
    env = {"MUNIMENT_REQUIRE_TOKENS": "true"}
    with serving(tmp_path, env, config=receiving(grpc)) as server:
        server.http.headers["Authorization"] = f"Bearer {server.admin_token}"
        wrong = f"{server.admin_token[:-4]}0000"
        with otelcol(tmp_path, server, grpc, wrong, "wrong") as collector:
            write(collector, ["/refused"])
            wait_for(
                lambda: refusals(collector.process.printed()) >= set(ACKNOWLEDGED),
                lambda: f"refusals: {collector.process.printed()[-4000:]}",
            )
        with otelcol(tmp_path, server, grpc, server.admin_token, "right") as collector:
            write(collector, ["/taken"])
            for log in ACKNOWLEDGED:
                wait_for(lambda log=log: entries(server, log), f"an entry in {log}")
                ((header, raw),) = entries(server, log)
                assert header["from"] == "admin", (log, header)
                assert b"/taken" in raw, (log, raw)


def refusals(printed: str) -> set[str]:
    """The protocols whose exporters say that the server did not let them in."""
    names = {exporter: log for log, exporter in LOGS.items()}
    said = [line for line in printed.splitlines() if re.search(r"40[13]|Unauthenticated", line)]
    return {
        names[found[1]]
        for line in said
        if (found := re.search(r'"name": "([^"]+)"', line)) and found[1] in names
    }
