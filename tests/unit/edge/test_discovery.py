"""Nodes that are asked what they are, and what of it can stand in a description."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from muniment.edge import discovery
from muniment.edge.discovery import Discovery, calls_of, node_of
from muniment.edge.kinds import Place
from muniment.edge.parts import Members, Tls
from muniment.fleet.calls import Calls
from muniment.fleet.member import Member, State
from muniment.settings.fleet import Role

TLS = Tls(certificate=Path("/edge.pem"))


def member(name: str, **more: object) -> Member:
    return Member(node=name, url="https://10.0.0.9:8470", roles=(Role.INGEST,), **more)  # type: ignore[arg-type]


def test_a_member_becomes_a_node_at_the_address_where_it_was_found() -> None:
    told = member(
        "N1",
        state=State.DRAINING,
        region="eu-central",
        jurisdiction="eu",
        listeners={
            "syslog-tcp": "0.0.0.0:6514",
            "syslog-udp": "10.0.0.1:6514",
            "forward": "10.0.0.7:24224",
        },
    )
    node = node_of("https://10.0.0.1:8470", "nodes.svc", told)
    assert (node.name, node.address, node.server_name) == (
        "n1",
        Place("10.0.0.1", 8470),
        "nodes.svc",
    )
    assert (node.roles, node.state, node.jurisdiction) == (("ingest",), "draining", "eu")
    assert node.listeners == {
        "syslog": Place("10.0.0.1", 6514),
        "forward": Place("10.0.0.7", 24224),
    }


class Answers:
    """Members by url; what is not there does not answer."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.names: dict[str, list[str]] = {}

    def ask(self, _calls: Calls, url: str, *, server_name: str = "") -> Member | None:
        assert server_name in ("", "nodes.svc")
        return self.members.get(url)

    def addresses(self, name: str, _port: int) -> list[str]:
        if name not in self.names:
            raise OSError("no such name")
        return self.names[name]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers()
    monkeypatch.setattr(discovery, "ask", made.ask)
    monkeypatch.setattr(discovery, "addresses", made.addresses)
    return made


def names(found: Discovery) -> list[tuple[str, str]]:
    return [(node.name, str(node.address)) for node in found.nodes()]


def test_who_does_not_answer_stays_and_who_is_no_longer_named_goes(answers: Answers) -> None:
    members = Members(of=("https://10.0.0.1:8470", "dns://nodes.svc:8470"))
    with ThreadPoolExecutor(4) as workers, httpless() as calls:
        found = Discovery(members, calls, workers)
        assert names(found) == []
        answers.names["nodes.svc"] = ["10.0.0.2", "2001:db8::3"]
        answers.members = {
            "https://10.0.0.1:8470": member("a"),
            "https://10.0.0.2:8470": member("b"),
            "https://[2001:db8::3]:8470": member("c"),
        }
        whole = [("a", "10.0.0.1:8470"), ("b", "10.0.0.2:8470"), ("c", "[2001:db8::3]:8470")]
        assert names(found) == whole
        answers.members.clear()
        assert names(found) == whole
        del answers.names["nodes.svc"]
        assert names(found) == whole
        answers.names["nodes.svc"] = ["10.0.0.2"]
        assert names(found) == whole[:2]


class httpless:
    """Calls that are never made."""

    def __enter__(self) -> Calls:
        self.calls = calls_of(TLS, Members(of=("https://10.0.0.1:8470",)))
        return self.calls

    def __exit__(self, *_: object) -> None:
        self.calls.close()


@pytest.mark.parametrize(
    "place", ["store", "http://a:1", "ftp://a:1", "https://a", "dns://a", "https://a:1/x"]
)
def test_whom_it_cannot_ask_is_an_error(place: str) -> None:
    with pytest.raises(ValidationError, match="an edge asks nodes"):
        Members(of=(place,))


@pytest.mark.fuzz
@given(
    name=st.text(), region=st.text(), listeners=st.dictionaries(st.text(), st.text(), max_size=3)
)
def test_no_word_of_a_node_stands_in_a_description_unchecked(
    name: str, region: str, listeners: dict[str, str]
) -> None:
    told = member(name, region=region, listeners={**listeners, "syslog-tcp": name})
    try:
        node = node_of("https://10.0.0.1:8470", "", told)
    except ValidationError:
        return
    for text in (node.name, node.region, *map(str, node.listeners.values())):
        assert not set(text) - set("abcdefghijklmnopqrstuvwxyz0123456789._-:[]")
