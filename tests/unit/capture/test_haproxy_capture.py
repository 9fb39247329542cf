"""HAProxy's state: what is an object, what is noise, who holds a server, what each door served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stats_socket import answering, recorded

from muniment.balancer import haproxy
from muniment.balancer.haproxy import PatternFile
from muniment.capture.port import Observation
from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName, Snapshot, canonical
from muniment.capture.systems import haproxy_state
from muniment.capture.systems.haproxy import Settings, watchers
from muniment.capture.systems.haproxy_counters import counters, quoted
from muniment.capture.systems.haproxy_logging import Logging, frontends
from muniment.errors import MunimentError

REDACT = redactor(b"k" * 32)


class Balancer(dict[str, bytes]):
    """What a HAProxy answers; what it does not know is an unknown command."""

    def __call__(self, command: str) -> bytes:
        if command == "show stat -1 1 -1":
            lines = self["show stat"].splitlines(keepends=True)
            return b"".join(one for one in lines if one.startswith(b"# ") or b",FRONTEND," in one)
        return self.get(command, b"Unknown command: but maybe\n")

    def edit(self, command: str, pattern: str, by: str) -> None:
        text = self[command].decode()
        changed = re.sub(pattern, by, text)
        assert changed != text
        self[command] = changed.encode()


@pytest.fixture
def balancer() -> Balancer:
    return Balancer(recorded())


@pytest.fixture
def address(balancer: Balancer) -> Iterator[str]:
    with answering(balancer) as address:
        yield address


def look(address: str, **settings: Any) -> list[Observation]:
    section = Settings.model_validate({"name": "lb1", "socket": address, **settings})
    (watcher,) = watchers(section, REDACT)
    return list(watcher.observe())


def objects(seen: list[Observation]) -> dict[str, Snapshot]:
    return {name: one for observation in seen for name, one in observation.objects.items()}


def test_every_object_has_a_name_that_can_be_parsed(address: str) -> None:
    seen = look(address)
    assert not [one.error for one in seen if one.error]
    names = [ObjectName.parse(name) for name in objects(seen)]
    assert [(one.kind, one.name) for one in names] == [
        ("process", "settings"),
        ("frontend", "fe"),
        ("backend", "be"),
        ("frontend", "st"),
        ("backend", "st"),
        ("server", "be/w1"),
        ("server", "be/w2"),
        ("server", "be/t1"),
        ("server", "be/t2"),
        ("server", "be/d1"),
        ("health", "be/w1"),
        ("certificate", "etc/haproxy/site.pem"),
        ("map", "etc/haproxy/m.map"),
        ("acl", "etc/haproxy/a.acl"),
        ("acl", "1"),
        ("acl", "2"),
    ]


def test_states(address: str) -> None:
    found = objects(look(address))
    assert found["haproxy:lb1/server/be/w1"].state == {
        "address": "127.0.0.1",
        "port": 18990,
        "weight": 30,
        "initial_weight": 100,
        "admin": "ready",
        "check": False,
        "agent": True,
        "agent_port": 18999,
    }
    assert found["haproxy:lb1/server/be/w1"].where == {"backend": "be", "server": "w1"}
    assert found["haproxy:lb1/server/be/w2"].state["maxconn"] == 10
    assert found["haproxy:lb1/server/be/t1"].state["admin_by"] == ["config"]
    assert found["haproxy:lb1/server/be/d1"].state["admin_by"] == ["runtime"]
    assert found["haproxy:lb1/frontend/fe"].state == {
        "mode": "http",
        "status": "open",
        "maxconn": 33,
        "rate_limit": 0,
    }
    assert found["haproxy:lb1/map/etc/haproxy/m.map"].state["entries"] == {"a": "x", "b": "y"}
    assert found["haproxy:lb1/acl/2"].state == {"criterion": "path_beg", "entries": {"/x": 1}}
    certificate = found["haproxy:lb1/certificate/etc/haproxy/site.pem"]
    assert certificate.state["sha1"] == "40db3594fcf646372ac274c42b5d34592e7f6ee6"
    assert certificate.names == ["/etc/haproxy/site.pem"]
    process = found["haproxy:lb1/process/settings"].state
    assert process["maxconn"] == 200
    assert process["rate_limits"]["connections"] == 1000  # type: ignore[index,call-overload]


def test_what_moves_by_itself_changes_no_version(balancer: Balancer, address: str) -> None:
    before = {name: one.version for name, one in objects(look(address)).items()}
    balancer.edit("show info", r"(Uptime_sec|CurrConns|CumReq|Idle_pct): \d+", r"\1: 77")
    balancer.edit("show servers state", r"(127.0.0.1 \d+ \d+ \d+ \d+) \d+", r"\1 99")
    balancer.edit("show stat", r"(,FRONTEND,,,)0,0,(\d+),0", r"\g<1>5,9,\2,44")
    balancer.edit("show map #5", "0x[0-9a-f]+", "0xabcdef")
    balancer["show ssl cert"] += b"*/etc/haproxy/site.pem\n"
    after = {name: one.version for name, one in objects(look(address)).items()}
    assert before == after


@pytest.mark.parametrize(
    ("bits", "admin", "by"),
    [
        (0x00, "ready", []),
        (0x01, "maint", ["runtime"]),
        (0x05, "maint", ["config"]),
        (0x04, "ready", []),
        (0x08, "drain", ["runtime"]),
        (0x10, "drain", ["tracked"]),
        (0x02, "maint", ["tracked"]),
        (0x20, "maint", ["dns"]),
        (0x29, "maint", ["runtime", "dns"]),
        (0x40, "maint", ["hostname"]),
    ],
)
def test_who_holds_a_server(bits: int, admin: str, by: list[str]) -> None:
    row = {"be_name": "b", "srv_name": "s", "srv_admin_state": str(bits)}
    ((_, snapshot),) = haproxy_state.servers([row], [])
    assert snapshot.state["admin"] == admin
    assert snapshot.state.get("admin_by", []) == by


def test_a_server_that_flaps_is_a_change_of_its_health_alone(
    balancer: Balancer, address: str
) -> None:
    before = objects(look(address))
    assert before["haproxy:lb1/health/be/w1"].state == {"down": False}
    balancer.edit("show servers state", r"(w1 127.0.0.1) 2 0", r"\1 0 0")
    after = objects(look(address))
    changed = [name for name in before if before[name].version != after[name].version]
    assert changed == ["haproxy:lb1/health/be/w1"]
    assert after[changed[0]].state == {"down": True}
    assert after[changed[0]].where == {"backend": "be", "server": "w1"}


def test_maintenance_is_no_finding_of_a_check(balancer: Balancer, address: str) -> None:
    before = objects(look(address))
    balancer.edit("show servers state", r"(w1 127.0.0.1) 2 0", r"\1 0 1")
    after = objects(look(address))
    changed = [name for name in before if before[name].version != after[name].version]
    assert changed == ["haproxy:lb1/server/be/w1"]


def served(row: dict[str, str], logs: Logging) -> tuple[int, str]:
    row = {"type": "0", "pxname": "web", "mode": "http", **row}
    (one,) = counters([row], "1", "", None, {"web": logs})
    return one.served, one.match


def test_what_is_served_is_what_is_logged() -> None:
    row = {"req_tot": "12", "h1_total_streams": "4", "h2_backend_total_streams": "5"}
    assert served(row, Logging(null=False)) == (9, "class:http frontend:web")
    assert served(row, Logging(null=True)) == (12, "class:http frontend:web")
    assert served({"req_tot": "12"}, Logging(null=False))[0] == 12
    monitored = served(row | {"intercepted": "3"}, Logging(null=False, monitor=True))
    assert monitored == (
        6,
        "class:http frontend:web NOT (load_balancer.status_detail:LR* backend:web)",
    )


def test_what_was_told_not_to_log_is_not_counted() -> None:
    row = {"type": "0", "pxname": "web", "mode": "http", "req_tot": "1", "conn_tot": "1"}
    assert not list(counters([row], "1", "", None, {"web": Logging(silent=True)}))
    assert not list(counters([row | {"mode": "tcp"}], "1", "", None))


def test_what_the_configuration_says_of_logging() -> None:
    text = """
    defaults a
      option dontlognull
    frontend one
      monitor-uri /up   # a comment
    defaults
      mode http
    frontend two
    listen three
      option  dontlognull
    frontend four from a
      http-request set-log-level silent if { path /up }
    frontend seven
      option dontlog-normal
    frontend eight
      no log
    backend five
      option dontlognull
    """
    assert frontends([text, "frontend six\nno option dontlognull"]) == {
        "one": Logging(null=False, monitor=True),
        "two": Logging(),
        "three": Logging(null=False),
        "four": Logging(null=False, silent=True),
        "seven": Logging(silent=True),
        "eight": Logging(silent=True),
        "six": Logging(),
    }


def test_the_configuration_is_read_again_by_a_new_process_alone(
    balancer: Balancer, address: str, tmp_path: Path
) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text("frontend fe\n monitor-uri /x\n")
    section = Settings.model_validate(
        {"name": "lb1", "socket": address, "files": [str(config)], "null_logged": ["st"]}
    )
    (watcher,) = watchers(section, REDACT)

    def matches() -> list[bool]:
        found = [one for seen in watcher.observe() for one in seen.counters]
        return ["LR*" in one.match for one in found]

    assert matches() == [True, False]
    config.write_text("frontend fe\n")
    assert matches() == [True, False]
    balancer.edit("show info", r"Pid: \d+", "Pid: 4")
    assert matches() == [False, False]


def test_the_counters_are_of_the_moment_when_they_were_asked_for(address: str) -> None:
    (counted,) = [one.counted for one in look(address) if one.counters]
    assert counted.endswith("Z")


def test_counters_have_an_epoch_and_a_query(balancer: Balancer, address: str) -> None:
    counters = [counter for one in look(address) for counter in one.counters]
    info = haproxy.info(balancer["show info"].decode())
    epoch = f"{info['Pid']}@{info['Start_time_sec']}"
    assert [(one.name, one.match, one.dropped) for one in counters] == [
        ("fe", "class:http frontend:fe", 0),
        ("st", "class:http frontend:st", 0),
    ]
    assert {one.epoch for one in counters} == {epoch}
    balancer.edit("show stat", "fe,FRONTEND", "a:b,FRONTEND")
    counters = [
        counter
        for one in look(address, match="source:x OR source:y", unlogged=["st"])
        for counter in one.counters
    ]
    assert [one.match for one in counters] == ['(source:x OR source:y) class:http frontend:"a:b"']
    balancer.edit("show stat", ",,http,,", ",,tcp,,")
    assert not [counter for one in look(address) for counter in one.counters]
    seen = look(address, null_logged=["a:b"])
    (counter,) = [counter for one in seen for counter in one.counters]
    assert counter.match == 'class:network frontend:"a:b"'


def test_an_old_version_that_says_no_start_keeps_its_epoch(
    balancer: Balancer, address: str
) -> None:
    balancer.edit("show info", "Start_time_sec: .*\n", "")
    section = Settings.model_validate({"name": "lb1", "socket": address})
    (watcher,) = watchers(section, REDACT)
    epochs = set()
    for uptime in (100, 100, 101):
        balancer.edit("show info", r"Uptime_sec: \d+(x?)", rf"Uptime_sec: {uptime}\1 ")
        seen = list(watcher.observe())
        epochs |= {counter.epoch for one in seen for counter in one.counters}
        assert "started" not in objects(seen)["haproxy:lb1/process/settings"].state
    assert len(epochs) == 1


def test_what_a_version_does_not_know_is_left_out(balancer: Balancer, address: str) -> None:
    for command in ("show ssl crl-file", "show ssl ca-file", "show ssl cert"):
        del balancer[command]
    scopes = [one.scope for one in look(address)]
    assert scopes == ["process", "doors", "counters", "servers", "health", "maps", "acls"]


def test_what_is_not_allowed_is_said(balancer: Balancer, address: str) -> None:
    balancer["show ssl cert"] = b"Permission denied\n"
    errors = {one.scope: one.error for one in look(address)}
    assert errors["certificates"] == "show ssl cert: Permission denied"
    assert not errors["servers"]


def test_a_balancer_that_is_away_is_an_error_of_each_scope(tmp_path: Path) -> None:
    seen = look(str(tmp_path / "none"))
    assert len(seen) == 10
    assert all("No such file" in one.error and not one.objects for one in seen)


def test_the_files_of_a_section(address: str, tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text("global\n")
    seen = look(address, files=[str(tmp_path / "*.cfg")])
    name = f"haproxy:lb1/file{config}"
    assert objects(seen)[name].state["text"] == "global\n"


def entries(kind: str, text: str, file: str = "/etc/x.map") -> Snapshot:
    return haproxy_state.entries(kind, PatternFile("1", file, "", None), text, REDACT)


def test_keys_that_are_there_more_than_once() -> None:
    text = "0x1 a x\n0x2 a y\n0x3 b z\n"
    assert entries("map", text).state["entries"] == {"a": ["x", "y"], "b": "z"}
    assert entries("acl", "0x1 a x\n0x2 a x\n0x3 b\n").state["entries"] == {"a x": 2, "b": 1}


def test_a_large_map_is_a_count_and_a_digest() -> None:
    lines = [f"0x{n:x} key{n} value\n" for n in range(haproxy_state.MAX_ENTRIES + 1)]
    first, second = entries("map", "".join(lines)), entries("map", "".join(reversed(lines)))
    assert first.state == second.state
    assert first.state["count"] == len(lines)
    assert entries("map", "".join([*lines[:-1], "0x1 other x\n"])).state != first.state


def test_a_map_of_secrets_is_redacted() -> None:
    found = entries("map", "0x1 k3y alice\n", "/etc/haproxy/api-tokens.map")
    assert found.redacted == ["/entries"]
    assert b"k3y" not in canonical(found.state)
    assert b"alice" not in canonical(found.state)


@pytest.mark.parametrize(
    ("name", "query"), [("http-in", "http-in"), ("a:b", '"a:b"'), ("-x", '"-x"'), ("a b", '"a b"')]
)
def test_names_in_queries(name: str, query: str) -> None:
    assert quoted(name) == query


@pytest.mark.fuzz
@given(
    st.sampled_from(sorted(recorded())),
    st.binary(max_size=200),
    st.integers(0, 4_000),
    st.integers(0, 100),
)
def test_whatever_is_answered_makes_states_of_json(
    command: str, junk: bytes, at: int, cut: int
) -> None:
    data = recorded()[command]
    text = (data[:at] + junk + data[at + cut :]).decode("utf-8", "replace")
    made: list[Snapshot] = []
    try:
        if command == "show info":
            made = [haproxy_state.process(haproxy.info(text))]
        elif command == "show stat":
            made = [one for _, one in haproxy_state.doors(haproxy.stat(text))]
            list(counters(haproxy.stat(text), "1@1", "", None))
        elif command == "show servers state":
            made = [one for _, one in haproxy_state.servers(haproxy.servers(text), [])]
            made += [one for _, one in haproxy_state.health(haproxy.servers(text), [])]
        elif command.startswith("show ssl"):
            made = [Snapshot(haproxy_state.certificate(text) or haproxy_state.authorities(text))]
        else:
            made = [entries("map", text), entries("acl", text)]
    except MunimentError:
        return
    for one in made:
        assert len(canonical(one.state)) <= 40 * len(text) + 1_000
