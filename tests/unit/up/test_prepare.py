"""What is made below the folder: settings that load, tokens that are known, an edge described."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from random import Random

import pytest

from muniment.access import Scope, Tokens
from muniment.clock import SystemClock
from muniment.edge import description as edge_description
from muniment.errors import SettingsError, Unauthenticated
from muniment.log.disk import PosixDisk
from muniment.settings import Durability, Settings, load
from muniment.settings.fleet import Role
from muniment.up import front, run
from muniment.up.places import Places
from muniment.up.plan import EdgeKind, Plan, Wish, make_plan
from muniment.up.ports import FreePorts
from muniment.up.prepare import make_folders, prepare

DISK = PosixDisk()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "fleet")
    make_folders(found)
    return found


def plan_of(places: Places, **wished: object) -> Plan:
    free = FreePorts(random=Random(3), free=lambda _: True)
    return make_plan(places, Wish.model_validate(wished), None, free)


def prepared(places: Places, plan: Plan) -> str | None:
    return prepare(places, plan, disk=DISK, clock=SystemClock())


def shown(plan: Plan) -> Plan:
    """The plan after the admin token was shown."""
    return plan.model_copy(update={"announced": True})


def settings(places: Places, name: str) -> Settings:
    return load(config=places.settings(name), environment={})


@pytest.mark.parametrize("durability", Durability)
def test_the_settings_of_every_node_load(places: Places, durability: Durability) -> None:
    plan = plan_of(places, durability=durability, query=2)
    prepared(places, plan)
    for node in plan.present():
        found = settings(places, node.name)
        assert found.node == node.name
        assert (found.wal is not None) == (durability is Durability.REPLICATED)
        assert found.fleet is not None
        assert found.fleet.url == node.url
        taking = durability is Durability.REPLICATED and node.role is Role.INGEST
        assert (found.fleet.takeover is not None) == taking
        assert found.tokens_required
    assert settings(places, "ingest-1").roles == (Role.INGEST,)
    assert settings(places, "query-1").roles == (Role.INGEST, Role.QUERY, Role.WATCH)
    assert settings(places, "query-2").roles == (Role.QUERY,)


def test_without_an_edge_the_nodes_ask_for_no_certificate(places: Places) -> None:
    plan = plan_of(places, edge="none")
    prepared(places, plan)
    found = settings(places, "ingest-1")
    assert (found.tls, found.tls_client_ca, found.edges) == (True, None, ())
    assert [one.proxy_from for one in found.receive] == [(), ()]
    with pytest.raises(SettingsError, match="--edge"):
        make_plan(places, Wish(edge=EdgeKind.NGINX), plan, FreePorts(free=lambda _: True))


def test_the_first_time_there_is_an_admin_token(places: Places) -> None:
    plan = plan_of(places)
    token = prepared(places, plan)
    assert token is not None
    tokens = Tokens.open(places.tokens)
    assert tokens.authenticate(token).scopes == {Scope.ADMIN}
    fleet = tokens.authenticate(places.fleet_token.read_text().strip())
    assert (fleet.name, set(fleet.scopes)) == ("fleet", {Scope.READ})
    assert prepared(places, shown(plan)) is None


def test_an_admin_token_that_nobody_was_shown_is_made_anew(places: Places) -> None:
    plan = plan_of(places)
    lost, token = prepared(places, plan), prepared(places, plan)
    assert lost is not None
    assert token is not None
    tokens = Tokens.open(places.tokens)
    assert tokens.authenticate(token).scopes == {Scope.ADMIN}
    with pytest.raises(Unauthenticated):
        tokens.authenticate(lost)
    places.tokens.unlink()
    assert prepared(places, shown(plan)) is not None


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    with pytest.raises(SettingsError, match="holds no fleet, but letters: name another with --dir"):
        make_folders(Places(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_a_start_that_ended_early_is_no_stranger(places: Places) -> None:
    places.lock.touch()
    make_folders(places)
    plan_of(places).save(places.plan, DISK)
    (places.folder / "notes").touch()
    make_folders(places)


def test_a_lost_fleet_token_is_made_anew(places: Places) -> None:
    prepared(places, plan_of(places))
    old = places.fleet_token.read_text()
    places.fleet_token.unlink()
    prepared(places, shown(plan_of(places)))
    assert places.fleet_token.read_text() != old
    assert len(Tokens.open(places.tokens)) == 2


def test_what_is_there_stays(places: Places) -> None:
    plan = plan_of(places)
    prepared(places, plan)
    mine = places.settings("ingest-1")
    mine.write_text(mine.read_text().replace('segment_age = "1m"', 'segment_age = "2m"'))
    kept = {path: path.read_bytes() for path in places.folder.rglob("*") if path.is_file()}
    prepared(places, shown(plan))
    assert {path: path.read_bytes() for path in kept} == kept


def test_secrets_are_nobody_elses(places: Places) -> None:
    plan = plan_of(places)
    prepared(places, plan)
    front.describe(plan, places, DISK)
    public = {".pem"}
    for path in places.folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.suffix not in public or "with-key" in path.name:
            assert mode == 0o600, path


def test_the_description_of_the_edge_loads(places: Places) -> None:
    plan = plan_of(places, nodes=3)
    prepared(places, plan)
    front.describe(plan, places, DISK, leaving=["ingest-2"])
    found = edge_description.load(places.edge)
    assert {node.name: node.state for node in found.node} == {
        "ingest-1": "ready",
        "ingest-2": "draining",
        "ingest-3": "ready",
        "query-1": "ready",
    }
    (query,) = [node for node in found.node if node.name == "query-1"]
    assert tuple(query.roles) == ("query",)
    assert {stream.protocol for stream in found.stream} == {"syslog", "forward"}


def test_a_balancer_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_path", lambda: "/nowhere")
    with pytest.raises(SettingsError, match="haproxy is not installed: install the package"):
        front.check_installed(EdgeKind.HAPROXY)
    front.check_installed(EdgeKind.NONE)


def test_a_port_that_is_taken_is_told_before_anything_starts(places: Places) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = f"port {port}: Address already in use; name another with --port"
        with pytest.raises(SettingsError, match=taken):
            front.check_ports(plan_of(places, port=port))
        with pytest.raises(SettingsError, match="already in use"):
            run.make(places.folder, Wish(port=port))
        assert {path.name for path in places.folder.iterdir()} == {"tls"}
        front.check_ports(plan_of(places, port=port, edge="none"))


def test_an_address_of_another_machine_is_told_as_such(places: Places) -> None:
    elsewhere = plan_of(places, host="192.0.2.1")
    with pytest.raises(SettingsError, match=r"192.0.2.1, port .* name another with --host"):
        front.check_ports(elsewhere)
