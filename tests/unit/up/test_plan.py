"""What a fleet is made of: wishes, what stays, who comes and goes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import SettingsError
from muniment.log.disk import PosixDisk
from muniment.settings import Durability
from muniment.settings.fleet import Role
from muniment.up.places import Places
from muniment.up.plan import EdgeKind, Plan, Wish, load_plan, make_plan
from muniment.up.ports import HIGHEST, LOWEST, FreePorts


def ports() -> FreePorts:
    return FreePorts(random=Random(3), free=lambda _: True)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def made(places: Places, **wished: object) -> Plan:
    return make_plan(places, Wish.model_validate(wished), None, ports())


def names(plan: Plan) -> list[str]:
    return [node.name for node in plan.present()]


def test_the_default_is_three_and_one(places: Places) -> None:
    plan = made(places)
    assert names(plan) == ["ingest-1", "ingest-2", "ingest-3", "query-1"]
    assert (plan.edge, plan.durability) == (EdgeKind.HAPROXY, Durability.LOCAL)
    assert plan.store == f"file://{places.folder}/store"
    assert plan.url == "https://127.0.0.1:8443"


def test_without_an_edge_a_query_node_is_asked(places: Places) -> None:
    plan = made(places, edge="none")
    assert plan.url == plan.present(Role.QUERY)[0].url


def test_every_port_is_given_once(places: Places) -> None:
    given_out = made(places, nodes=20, query=5).ports
    assert len(set(given_out)) == len(given_out) == 3 + 20 * 3 + 5


def test_a_later_start_goes_on_with_the_same_ports(places: Places) -> None:
    first = made(places, nodes=2)
    first.save(places.plan, PosixDisk())
    again = make_plan(places, Wish(), load_plan(places.plan), ports())
    assert again == first


def test_a_later_start_may_have_more_nodes_and_another_edge(places: Places) -> None:
    first = made(places, nodes=2)
    again = make_plan(places, Wish(nodes=3, edge=EdgeKind.NGINX, port=9443), first, ports())
    assert names(again) == ["query-1", "ingest-1", "ingest-2", "ingest-3"]
    assert (again.edge, again.port) == (EdgeKind.NGINX, 9443)
    assert again.node("ingest-1") == first.node("ingest-1")


def test_fewer_nodes_are_for_scale(places: Places) -> None:
    with pytest.raises(SettingsError, match="muniment up scale"):
        make_plan(places, Wish(nodes=1), made(places), ports())


@pytest.mark.parametrize("wish", [Wish(store="s3://other"), Wish(durability=Durability.REPLICATED)])
def test_where_entries_are_kept_does_not_change(places: Places, wish: Wish) -> None:
    with pytest.raises(SettingsError, match="another folder"):
        make_plan(places, wish, made(places), ports())


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_the_first_nodes_stay_and_those_who_left_come_back(counts: list[int]) -> None:
    plan = made(Places(Path("/fleet")))
    known = {node.name: node.port for node in plan.nodes}
    for count in counts:
        plan = plan.sized(Role.INGEST, count, FreePorts(plan.ports, free=lambda _: True))
        wanted = [f"ingest-{number}" for number in range(1, count + 1)]
        assert [node.name for node in plan.present(Role.INGEST)] == wanted
        assert len(plan.present(Role.QUERY)) == 1
        assert {name: p for name, p in known.items() if plan.node(name).port != p} == {}  # type: ignore[union-attr]
        known |= {node.name: node.port for node in plan.nodes}


def test_nodes_that_leave_are_still_known(places: Places) -> None:
    plan = made(places).without(["ingest-3"])
    assert names(plan) == ["ingest-1", "ingest-2", "query-1"]
    assert plan.node("ingest-3") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": "muniment-up/2"}',
        json.dumps({"store": "file:///x", "syslog": 1, "forward": 2, "nodes": [{"name": "A"}]}),
    ],
)
def test_a_plan_that_is_none_is_told(places: Places, text: str) -> None:
    places.plan.write_text(text)
    with pytest.raises(SettingsError, match=r"fleet\.json is no plan"):
        load_plan(places.plan)


@pytest.mark.fuzz
@given(
    st.binary(max_size=400)
    | st.recursive(st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_any_bytes_are_a_plan_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed-plan"
    path.write_bytes(data)
    with pytest.raises(SettingsError):
        load_plan(path)


def test_ports_come_from_below_those_of_the_system() -> None:
    found = FreePorts(free=lambda port: port % 2 == 0).take()
    assert LOWEST <= found <= HIGHEST
    assert found % 2 == 0


def test_no_free_port_is_told() -> None:
    with pytest.raises(SettingsError, match="no free port"):
        FreePorts(free=lambda _: False).take()
