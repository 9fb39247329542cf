"""Steps that put HAProxy's objects back: which commands, what is refused, what is taken back."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.balancer.haproxy import StatsSocket
from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.capture.systems.haproxy import Settings
from muniment.rollback import haproxy_commands as commands
from muniment.rollback import haproxy_patterns as patterns
from muniment.rollback.haproxy import applier
from muniment.rollback.haproxy_acts import Act, command
from muniment.rollback.port import Applier, ApplyFailed, CannotRollBack, Step

sys.path.append(str(Path(__file__).parents[1] / "balancer"))
from stats_socket import answering

NOWHERE = StatsSocket("/no/such/socket")
SERVER: dict[str, Any] = {
    "address": "10.0.0.2",
    "port": 80,
    "weight": 100,
    "initial_weight": 100,
    "admin": "ready",
    "maxconn": 50,
}


def server(live: dict[str, Any] | None, wanted: dict[str, Any] | None) -> list[str]:
    return [step.does for step in commands.server(NOWHERE, "web/w2", live, wanted)]


@pytest.mark.parametrize(
    ("was", "does"),
    [
        ({"weight": 50}, "set server web/w2 weight 100"),
        ({"address": "10.0.0.3"}, "set server web/w2 addr 10.0.0.2 port 80"),
        ({"port": 81}, "set server web/w2 addr 10.0.0.2 port 80"),
        ({"maxconn": 9}, "set maxconn server web/w2 50"),
        ({"admin": "drain", "admin_by": ["runtime"]}, "set server web/w2 state ready"),
        ({"admin": "maint", "admin_by": ["config"]}, "set server web/w2 state ready"),
    ],
)
def test_a_server_is_set_back(was: dict[str, Any], does: str) -> None:
    assert server(SERVER | was, SERVER) == [does]


def test_what_cannot_be_set_makes_no_step() -> None:
    live = SERVER | {"initial_weight": 1}
    assert server(live, SERVER) == []
    assert server(SERVER, SERVER) == []


def test_no_maximum_is_nought() -> None:
    wanted = {key: value for key, value in SERVER.items() if key != "maxconn"}
    assert server(SERVER, wanted) == ["set maxconn server web/w2 0"]


@pytest.mark.parametrize(
    ("live", "wanted", "why"),
    [
        ({"cookie": "a"}, {}, "cookie is set by the configuration"),
        ({"fqdn": "a.example"}, {}, "host name"),
        ({"check": True}, {}, "check is set up by the configuration"),
        ({"admin": "maint", "admin_by": ["dns"]}, {}, "comes from dns"),
        ({}, {"admin": "drain", "admin_by": ["tracked"]}, "comes from tracked"),
    ],
)
def test_what_no_command_can_do_is_refused(
    live: dict[str, Any], wanted: dict[str, Any], why: str
) -> None:
    with pytest.raises(CannotRollBack, match=why):
        server(SERVER | live, SERVER | wanted)


def test_checks_are_switched() -> None:
    live = SERVER | {"check": False, "agent": True, "agent_port": 1}
    wanted = SERVER | {"check": True, "agent": False, "agent_port": 2}
    assert server(live, wanted) == [
        "enable health web/w2",
        "set server web/w2 agent-port 2",
        "disable agent web/w2",
    ]


def test_servers_are_added_and_removed() -> None:
    add = "add server web/w2 10.0.0.2:80 weight 100 maxconn 50"
    assert server(None, SERVER) == [add, "set server web/w2 state ready"]
    assert server(None, SERVER | {"admin": "maint"}) == [add]
    assert server(None, SERVER | {"address": "2001:db8::1"})[0].startswith(
        "add server web/w2 [2001:db8::1]:80 "
    )
    assert server(SERVER, None) == ["set server web/w2 state maint", "del server web/w2"]
    assert server(SERVER | {"admin": "maint"}, None) == ["del server web/w2"]
    with pytest.raises(CannotRollBack, match=r"more \(ssl, check\) than its state tells"):
        server(None, SERVER | {"check": True, "ssl": True})


def test_frontends() -> None:
    state = {"mode": "http", "status": "open", "maxconn": 10, "rate_limit": 0}

    def steps(live: dict[str, Any]) -> list[tuple[str, str]]:
        found = commands.frontend(NOWHERE, "web", state | live, state)  # type: ignore[arg-type]
        return [(step.does, step.undo) for step in found]

    assert steps({}) == []
    assert steps({"maxconn": 5, "status": "paused"}) == [
        ("set maxconn frontend web 10", "set maxconn frontend web 5"),
        ("enable frontend web", "disable frontend web"),
    ]
    for other in ({"status": "stopped"}, {"rate_limit": 1}, {"mode": "tcp"}):
        with pytest.raises(CannotRollBack):
            steps(other)
    with pytest.raises(CannotRollBack):
        commands.frontend(NOWHERE, "web", None, state)  # type: ignore[arg-type]


def test_the_process() -> None:
    state: dict[str, Any] = {
        "pid": 1,
        "maxconn": 100,
        "hard_maxconn": 200,
        "rate_limits": {"sessions": 0, "http-compression": 0},
    }
    wanted = state | {
        "pid": 2,
        "maxconn": 50,
        "rate_limits": {"sessions": 9, "http-compression": 10_240},
    }
    assert [step.does for step in commands.process(NOWHERE, state, wanted)] == [
        "set maxconn global 50",
        "set rate-limit http-compression global 10",
        "set rate-limit sessions global 9",
    ]
    with pytest.raises(CannotRollBack, match="without a reload"):
        commands.process(NOWHERE, state, state | {"maxconn": 300})


class Maps(dict[str, list[str]]):
    """A HAProxy that knows maps; `refusing` is a pattern of commands that it does not obey."""

    refusing = "nothing"

    def __call__(self, text: str) -> bytes:
        return self._answer(text).encode() + b"\n"

    def _answer(self, text: str) -> str:
        if re.match(self.refusing, text):
            return "No."
        if text == "show map":
            return "3 (/etc/a.map) pattern loaded. curr_ver=0 next_ver=0 entry_cnt=1"
        if text.startswith("prepare map"):
            self["next"] = []
            return "New version created: 4"
        if found := re.match(r"add map @4 #3 (\S+) (.+)", text):
            self["next"].append(f"{found[1]} {found[2]}")
        elif text == "commit map @4 #3":
            self["now"] = self["next"]
        return ""


@pytest.fixture
def maps() -> Iterator[tuple[Maps, StatsSocket]]:
    haproxy = Maps(now=["old x"])
    with answering(haproxy) as address:
        yield haproxy, StatsSocket(address)


def entries(**values: Any) -> Snapshot:
    return Snapshot({"file": "/etc/a.map", "entries": values})


def test_a_map_is_replaced_at_once(maps: tuple[Maps, StatsSocket]) -> None:
    haproxy, socket = maps
    wanted = {"a": ["x", "y z"], "b": "w"}
    live = entries(old="x")
    (step,) = patterns.plan(socket, "map", "etc/a.map", live, {"entries": wanted})  # type: ignore[dict-item]
    assert (
        step.does == "replace the entries of map /etc/a.map at once (3 added, 1 removed), in memory"
    )
    assert haproxy["now"] == ["old x"]
    assert isinstance(step.data, Act)
    step.data.do()
    assert haproxy["now"] == ["a x", "a y\\ z", "b w"]
    assert step.data.undo is not None
    step.data.undo()
    assert haproxy["now"] == ["old x"]


def test_a_map_that_is_refused_half_way_stays(maps: tuple[Maps, StatsSocket]) -> None:
    haproxy, socket = maps
    haproxy.refusing = "add map @4 #3 b"
    wanted: dict[str, Any] = {"entries": {"a": "x", "b": "y"}}
    (step,) = patterns.plan(socket, "map", "etc/a.map", entries(old="x"), wanted)
    assert isinstance(step.data, Act)
    with pytest.raises(ApplyFailed, match=r"No\."):
        step.data.do()
    assert haproxy["now"] == ["old x"]


@pytest.mark.parametrize(
    ("live", "wanted", "why"),
    [
        (entries(), {"count": 20_000, "sha256": "0"}, "too many entries"),
        (entries(), {"entries": {"a": ""}}, "has no value"),
        (Snapshot({"entries": {}}, redacted=["/entries"]), {"entries": {"a": "b"}}, "secrets"),
        (None, {"entries": {}}, "made by the configuration"),
        (entries(), None, "made by the configuration"),
    ],
)
def test_maps_that_cannot_be_put_back(live: Any, wanted: Any, why: str) -> None:
    with pytest.raises(CannotRollBack, match=why):
        patterns.plan(NOWHERE, "map", "etc/a.map", live, wanted)


def back_of(address: str) -> Applier:
    settings = Settings.model_validate({"name": "lb1", "socket": address})
    return applier(settings, redactor(b"k" * 32))


def test_what_was_done_is_taken_back_where_a_step_fails() -> None:
    said: list[str] = []

    def obey(text: str) -> bytes:
        said.append(text)
        return b"No such server.\n" if "w9" in text else b"\n"

    with answering(obey) as address:
        socket = StatsSocket(address)
        steps = [
            command(socket, "set server web/w1 weight 1", "set server web/w1 weight 2"),
            Step("something for good", "", Act(lambda: "done")),
            command(socket, "set server web/w9 weight 1", "set server web/w9 weight 2"),
        ]
        with pytest.raises(ApplyFailed) as failed:
            back_of(address).apply(steps)
    assert said == [
        "set server web/w1 weight 1",
        "set server web/w9 weight 1",
        "set server web/w1 weight 2",
    ]
    assert "No such server." in failed.value.detail
    assert "something for good: cannot be taken back" in failed.value.detail
    assert "taken back" in failed.value.detail


def test_kinds_that_the_configuration_alone_makes() -> None:
    back = back_of("/no/such/socket")
    state: dict[str, Any] = {"mode": "http"}
    name = ObjectName.parse("haproxy:lb1/backend/web")
    assert back.plan(name, Snapshot(state), state) == ()
    with pytest.raises(CannotRollBack, match="roll back the file"):
        back.plan(name, Snapshot(state), {"mode": "tcp"})
    assert back.plan(name, None, None) == ()


def test_a_file_needs_a_way_to_reload(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text("global\n")
    settings = Settings.model_validate(
        {"name": "lb1", "socket": "/none", "files": [str(path)], "check": ["true"]}
    )
    back = applier(settings, redactor(b"k" * 32))
    name = ObjectName.parse(f"haproxy:lb1/file{path}")
    with pytest.raises(CannotRollBack, match="neither `reload` nor `pid_file`"):
        back.plan(name, back.live(name), {"text": "defaults\n"})
    with pytest.raises(CannotRollBack, match="is started with"):
        back.plan(name, back.live(name), None)
    with pytest.raises(CannotRollBack, match="not captured"):
        back.plan(name, back.live(name), {"sha256": "0"})


@pytest.mark.fuzz
@given(
    st.dictionaries(
        st.sampled_from([*SERVER, "check", "agent", "fqdn", "ssl", "admin_by", "check_port"]),
        st.none()
        | st.booleans()
        | st.integers(-5, 70_000)
        | st.sampled_from(["1;x", "a\nb"])
        | st.text(max_size=8),
    )
)
def test_whatever_a_version_says_is_one_line_or_refused(wanted: dict[str, Any]) -> None:
    for live in (SERVER, None):
        try:
            steps = commands.server(NOWHERE, "web/w2", live, wanted)
        except CannotRollBack:
            continue
        for text in (text for step in steps for text in (step.does, step.undo)):
            assert "\n" not in text
            assert ";" not in re.sub(r"\\.", "", text)
