"""Whatever a node says of itself, the files of the balancers keep their shape."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from edge_descriptions import EVERYTHING, MINIMAL, parsed, written
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from muniment.edge import discovery, envoy, haproxy, nginx
from muniment.edge.description import Description
from muniment.edge.discovery import Discovery, calls_of, node_of
from muniment.edge.files import check_own
from muniment.edge.parts import Members, Node, Tls
from muniment.errors import Corrupt, SettingsError
from muniment.fleet.calls import Calls
from muniment.fleet.member import Member, State, decode_member
from muniment.settings.fleet import Role
from muniment.settings.kinds import Address

ODD = st.sampled_from(
    (
        *("1", "1e3", "null", "true", "no", "0x1f", "1_0", ".inf", "~", "any", "unknown", "none"),
        *("ssl", "backup", "default", "n1 weight 0", "n1\nserver evil 192.0.2.1:1", 'n1"}', "n1;"),
        *("${HOME}", "$host", "%[src]", "{{ tls }}", "*", "&a", "!!x", "- x", "# x", "../../x"),
    )
)
WORDS = st.one_of(ODD, st.text(max_size=70))
ADDRESSES = st.one_of(
    st.builds("{}:{}".format, st.one_of(WORDS, st.ip_addresses().map(str)), st.integers(0, 70_000)),
    st.sampled_from(["[::1%a\nx]:514", "[fe80::1%eth0]:514", "[::]:514", "evil.example:514 ssl"]),
    WORDS,
)
MEMBERS = st.builds(
    Member,
    node=WORDS,
    url=st.just("https://10.0.0.9:8470"),
    roles=st.lists(st.sampled_from(Role), max_size=4).map(tuple),
    state=st.sampled_from(State),
    region=WORDS,
    jurisdiction=WORDS,
    version=WORDS,
    listeners=st.dictionaries(
        st.one_of(st.sampled_from(["syslog-tcp", "forward", "syslog:x"]), WORDS),
        ADDRESSES,
        max_size=3,
    ),
)
PLAIN = re.compile(r"[a-z0-9._:\[\]-]*", re.ASCII)
SERVER = re.compile(
    r"    server ([a-z0-9._-]+) (\[?[0-9a-z.:-]+\]?:[0-9]{1,5})( send-proxy-v2 track [a-z0-9._/-]+ "
    r"tcp-ut 15s)?( ssl verify required ca-file '[^']+' crt '[^']+' sni str\(([a-z0-9.-]+)\) "
    r"verifyhost ([a-z0-9.-]+)( check-sni [a-z0-9.-]+ alpn http/1.1)?)?"
    r"( resolvers system init-addr last,libc,none)?( weight 0)?( backup)?",
    re.ASCII,
)
UPSTREAM = re.compile(
    r"        server \[?[0-9a-z.:-]+\]?:[0-9]{1,5} max_fails=[0-9]+ fail_timeout=[0-9]+s"
    r"( max_conns=[0-9]+)?( backup)?( down)?;",
    re.ASCII,
)
ORDINARY = Description.model_validate(parsed(EVERYTHING))


def _found(members: list[Member]) -> Iterator[Node]:
    """Nodes as a discovery takes them: what cannot be is left out, and so is a name twice."""
    names = {node.name for node in ORDINARY.node}
    for number, member in enumerate(members, 1):
        try:
            told = decode_member(member.encode(), "here")
            node = node_of(f"https://10.0.0.{number}:8470", "nodes.svc", told)
        except (Corrupt, ValidationError):
            continue
        if node.name not in names:
            names.add(node.name)
            yield node


def _described(members: list[Member]) -> Description | None:
    try:
        return ORDINARY.with_nodes([*ORDINARY.node, *_found(members)])
    except SettingsError:
        return None


def _other_lines(text: str, known: re.Pattern[str]) -> list[str]:
    """The lines that are not those of servers."""
    return [line for line in text.split("\n") if not known.fullmatch(line)]


@pytest.mark.fuzz
@given(members=st.lists(MEMBERS, max_size=4))
def test_no_member_says_more_to_haproxy_than_where_it_is(members: list[Member]) -> None:
    description = _described(members)
    if description is None:
        return
    files = haproxy.render(description)
    lines = _other_lines(files[haproxy.CONFIG], SERVER)
    plain = haproxy.render(ORDINARY)
    without = [line for line in lines if not line.startswith("    # No node")]
    assert without == [
        line
        for line in _other_lines(plain[haproxy.CONFIG], SERVER)
        if not line.startswith("    # No node")
    ]
    assert files[haproxy.RESIDENCY] == plain[haproxy.RESIDENCY]


@pytest.mark.fuzz
@given(members=st.lists(MEMBERS, max_size=4))
def test_no_member_says_more_to_nginx_than_where_it_is(members: list[Member]) -> None:
    description = _described(members)
    if description is None:
        return
    lines = _other_lines(nginx.render(description)[nginx.CONFIG], UPSTREAM)
    told = [line for line in lines if line.lstrip().startswith("server ")]
    plain = _other_lines(nginx.render(ORDINARY)[nginx.CONFIG], UPSTREAM)
    assert told == [line for line in plain if line.lstrip().startswith("server ")]
    assert set(lines) == set(plain)


@pytest.mark.fuzz
@given(members=st.lists(MEMBERS, max_size=4))
def test_no_member_says_more_to_envoy_than_where_it_is(members: list[Member]) -> None:
    description = _described(members)
    if description is None:
        return
    files = envoy.render(description)
    assert files[envoy.BOOTSTRAP] == envoy.render(ORDINARY)[envoy.BOOTSTRAP]
    names = {node.name for node in description.node}
    clusters = yaml.safe_load(files[envoy.CLUSTERS])["resources"]
    for cluster in clusters:
        assert isinstance(cluster["name"], str)
        for match in cluster.get("transport_socket_matches", ()):
            assert match["name"] in names
            assert match["match"] == {"node": match["name"]}
            assert list(match) == ["name", "match", "transport_socket"]
        for group in cluster["load_assignment"]["endpoints"]:
            for one in group["lb_endpoints"]:
                place = one["endpoint"]["address"]["socket_address"]
                assert PLAIN.fullmatch(place["address"])
                assert 0 < place["port_value"] < 65_536
                assert one["health_status"] in ("UNKNOWN", "DRAINING")
    assert _keys(clusters) == _keys(yaml.safe_load(envoy.render(ORDINARY)[envoy.CLUSTERS]))


def _keys(found: object) -> set[str]:
    """Every key that stands anywhere in a document."""
    if isinstance(found, dict):
        keys = {str(key) for key in found if key != "resources"}
        return keys.union(*map(_keys, found.values())) if found else keys
    return set().union(*map(_keys, found)) if isinstance(found, list) else set()


@pytest.mark.parametrize("name", ["1", "1e3", "null", "true", "no", "0x1f"])
def test_a_name_is_a_text_to_envoy_whatever_it_looks_like(name: str) -> None:
    nodes = [ORDINARY.node[0].model_copy(update={"name": name})]
    files = envoy.render(ORDINARY.with_nodes(nodes).model_copy(update={"name": name}))
    assert f"name: {json.dumps(name)}" in files[envoy.CLUSTERS]
    for cluster in yaml.safe_load(files[envoy.CLUSTERS])["resources"]:
        assert {one["name"] for one in cluster.get("transport_socket_matches", ())} <= {name}
    assert f"log_name: {json.dumps(name)}" in files[envoy.BOOTSTRAP]


@pytest.mark.parametrize("text", ["[::1%a\n    bad x]:443", "[::1%]:443", "[fe80::1%a b]:1"])
def test_an_interface_is_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address"):
        Address.parse(text)


def test_an_interface_can_still_be_said() -> None:
    assert str(Address.parse("[fe80::1%eth0.1]:8470")) == "[fe80::1%eth0.1]:8470"


def test_no_network_has_an_interface() -> None:
    given_ = parsed(MINIMAL) | {"allow": {"networks": ["fe80::%a\n    bad/64"]}}
    assert ipaddress.ip_network("fe80::%a\n    bad/64")  # the library takes it
    with pytest.raises(ValidationError, match="interface"):
        Description.model_validate(given_)


@pytest.mark.parametrize("place", ["any", "unknown", "none"])
def test_a_residency_is_none_of_the_words_for_everywhere(place: str) -> None:
    given_ = parsed(EVERYTHING.replace('residency = "eu"', f'residency = "{place}"'))
    with pytest.raises(ValidationError, match="is no place"):
        Description.model_validate(given_)


def test_one_that_never_answers_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def ask(_calls: Calls, url: str, *, server_name: str = "") -> Member | None:
        assert not server_name
        if url.startswith("https://10.0.0.1:"):
            never.wait(60)
        return Member(node=url[-6], url=url, roles=(Role.INGEST,))

    monkeypatch.setattr(discovery, "ask", ask)
    monkeypatch.setattr(discovery, "PATIENCE", 0.05)
    members = Members(of=("https://10.0.0.1:8470", "https://10.0.0.2:8470"))
    calls = calls_of(Tls(certificate=Path("/edge.pem")), members)
    with ThreadPoolExecutor(4) as workers:
        found = Discovery(members, calls, workers)
        try:
            for _ in range(20):
                known = [str(node.address) for node in found.nodes()]
                if known:
                    break
            assert known == ["10.0.0.2:8470"]
        finally:
            never.set()
            calls.close()


def test_a_balancer_has_a_directory_of_its_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    check_own(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(SettingsError, match="written by others"):
        check_own(tmp_path)
    if os.geteuid() == 0:
        tmp_path.chmod(0o700)
        os.chown(tmp_path, 12_345, -1)
        with pytest.raises(SettingsError, match="somebody else's"):
            check_own(tmp_path)


def test_the_ordinary_description_is_one(tmp_path: Path) -> None:
    assert written(tmp_path, EVERYTHING).node == ORDINARY.node
