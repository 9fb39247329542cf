"""What is to stay in a jurisdiction is never stored, indexed or routed elsewhere.

Every byte that the nodes of the other jurisdiction read or write, on sockets and in files, is
watched. The same watch at the right nodes does see the entries: so it would have seen them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .harness.regions import Place, Regions, marked, regions
from .harness.waiting import wait_for

ALL = ("ingest", "query", "watch")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    """Two nodes in the EU, two in the US; one of these was told to have the EU's log as well."""
    root = tmp_path_factory.mktemp("regions")
    places = [
        Place("eu1", root, "eu", ["ingest"], ["payments", "default"]),
        Place("eu2", root, "eu", ALL, ["payments", "default"]),
        Place("us1", root, "us", ALL, ["default"]),
        Place("us2", root, "us", ["query"], ["payments", "default"], residency=False),
    ]
    with regions(root, places) as found:
        found.start_edge("edge")
        found.start_edge("edge-us", "us")
        yield found


def write(edge: httpx.Client, log: str, marker: bytes) -> httpx.Response:
    headers = {"content-type": "application/octet-stream", "idempotency-key": secrets.token_hex(8)}
    path = f"/api/v1/logs/{log}/entries?as=text"
    return edge.post(path, content=marked(marker), headers=headers)


def new_marker() -> bytes:
    return b"MARK" + secrets.token_hex(20).encode()


def count(edge: httpx.Client, log: str) -> int:
    answer = edge.get(f"/api/v1/logs/{log}/histogram", params={"q": "source:text"})
    return int(answer.json()["total"]) if answer.is_success else -1


def test_entries_of_a_european_log_are_seen_by_european_nodes_alone(fleet: Regions) -> None:
    edge, markers = fleet.edges["edge"], [new_marker() for _ in range(40)]
    here = {place.name: place for place in fleet.places}
    before = max(0, count(edge, "payments"))
    for marker in markers:
        assert write(edge, "payments", marker).status_code == 201
        assert write(edge, "default", b"everywhere").status_code == 201
    wait_for(lambda: count(edge, "payments") == before + 40, "the entries to be found")
    wait_for(lambda: any((here["eu1"].home / "archive").rglob("*.seg")), "a segment in the store")
    assert fleet.seen(here["us1"], *markers) == fleet.seen(here["us2"], *markers) == {}
    seen = [fleet.seen(here[name], *markers) for name in ("eu1", "eu2")]
    for marker in markers:
        places = {path.suffix for one in seen for path in one.get(marker, ())}
        assert {".strace", ".seg"} <= places


def test_a_node_elsewhere_that_was_told_to_mirror_it_refuses(fleet: Regions) -> None:
    us2 = next(place for place in fleet.places if place.name == "us2")
    answer = httpx.get(f"http://127.0.0.1:{us2.port}/api/v1/mirrors").json()
    refused = [one for one in answer["mirrors"] if one["log"] == "payments"]
    assert refused
    assert all(one["state"] == "refused" for one in refused), refused
    assert not list((us2.home / "us2" / "logs" / "payments").glob("*/*.seg"))


def test_the_view_over_all_regions_says_where_to_ask(fleet: Regions) -> None:
    us1 = next(place for place in fleet.places if place.name == "us1")
    everywhere = httpx.get(f"http://127.0.0.1:{us1.port}/api/v1/everywhere").json()["logs"]
    payments = next(one for one in everywhere if one["name"] == "payments")
    assert (payments["residency"], payments["here"]) == ("eu", False)
    assert payments["entries"] > 0
    answer = httpx.get(f"http://127.0.0.1:{us1.port}/api/v1/logs/payments/search", params={"q": ""})
    assert (answer.status_code, answer.json()["type"]) == (
        421,
        "urn:muniment:problem:log-elsewhere",
    )
    assert "kept in eu" in answer.json()["detail"]


def test_an_edge_in_another_jurisdiction_passes_nothing_on(fleet: Regions) -> None:
    marker = new_marker()
    answer = write(fleet.edges["edge-us"], "payments", marker)
    assert answer.status_code == 421, answer.text
    assert write(fleet.edges["edge-us"], "default", b"everywhere").status_code == 201
    for place in fleet.places:
        assert fleet.seen(place, marker) == {}


def test_without_its_nodes_a_log_is_unavailable_and_goes_nowhere_else(fleet: Regions) -> None:
    edge, marker = fleet.edges["edge"], new_marker()
    for name in ("eu1", "eu2"):
        fleet.nodes[name].kill()
    wait_for(lambda: write(edge, "payments", marker).status_code == 503, "the edge to say so", 30)
    answer = write(edge, "payments", marker)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    wait_for(lambda: write(edge, "default", b"everywhere").status_code == 201, "the other log")
    for place in fleet.places:
        if place.jurisdiction == "us":
            assert fleet.seen(place, marker) == {}


def test_settings_that_do_not_agree_do_not_start(tmp_path: Path) -> None:
    from muniment.errors import SettingsError
    from muniment.settings import load

    config = tmp_path / "muniment.toml"
    config.write_text('jurisdiction = "us"\n[residency]\ndefault = "eu"\n')
    with pytest.raises(SettingsError, match=r"residency\.default is eu, but jurisdiction is us"):
        load(config=config, environment={})
    config.write_text(
        'jurisdiction = "eu"\n[residency]\ndefault = "eu"\n'
        f'[[store]]\nurl = "{tmp_path.as_uri()}"\njurisdiction = "us"\n'
    )
    with pytest.raises(SettingsError, match=r"store\.primary\.jurisdiction is us"):
        load(config=config, environment={})
