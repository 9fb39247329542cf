"""Membership: who there is, from records that come late, twice, damaged, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.fleet.ticking import Ticking, now_executor

from muniment.errors import Corrupt, StoreFailing
from muniment.fleet import Member, Membership, ShardState, State
from muniment.fleet.calls import Calls
from muniment.fleet.member import decode_member
from muniment.fleet.sources import DnsName, Objects, Urls, ask
from muniment.settings import Connection, FleetSettings, Role
from muniment.store.local import LocalStore


def member(name: str, beat: int = 1, incarnation: str = "a", **more: object) -> Member:
    given = {"node": name, "url": f"https://{name}.test:8470", "roles": (Role.INGEST,)}
    return Member(**given, beat=beat, incarnation=incarnation, **more)  # type: ignore[arg-type]


class Scripted:
    """A source that says what it is told to."""

    def __init__(self) -> None:
        self.says: Sequence[Member] = ()
        self.fails = False

    def look(self) -> Iterator[Member]:
        if self.fails:
            raise StoreFailing("the store is away", reason="unreachable")
        yield from self.says


def membership(source: Scripted, clock: Ticking) -> Membership:
    return Membership([source], node="me", heartbeat=1, lost_after=10, clock=clock)


def test_a_member_that_falls_silent_is_lost_and_comes_back() -> None:
    source, clock = Scripted(), Ticking()
    known = membership(source, clock)
    source.says = [member("b", 1), member("me", 1)]
    known.look()
    assert [(one.node, one.state) for one in known.members()] == [("b", State.READY)]
    clock.tick(9)
    known.look()  # the same beat: nothing new
    assert known.members()[0].state is State.READY
    clock.tick(2)
    known.look()
    assert known.members()[0].state is State.LOST
    assert known.silence("b") == 11
    source.says = [member("b", 2)]
    known.look()
    assert known.members()[0].state is State.READY


def test_who_left_is_not_lost_and_is_forgotten_after_a_day() -> None:
    source, clock = Scripted(), Ticking()
    known = membership(source, clock)
    source.says = [member("b", state=State.LEFT)]
    known.look()
    clock.tick(3_600)
    assert known.members()[0].state is State.LEFT
    for _ in range(3):
        clock.tick(43_200)
        known.look()  # its record still lies there
    assert known.members() == []
    source.says = [member("b", 2)]
    known.look()
    assert known.members()[0].state is State.READY


def test_a_record_of_an_earlier_start_changes_nothing() -> None:
    source, clock = Scripted(), Ticking()
    known = membership(source, clock)
    for said in (member("b", 900, "old"), member("b", 1, "new"), member("b", 901, "old")):
        source.says = [said]
        known.look()
    assert (known.members()[0].incarnation, known.members()[0].beat) == ("new", 1)


def test_a_source_that_fails_takes_nobody_away() -> None:
    source, clock = Scripted(), Ticking()
    known = membership(source, clock)
    source.says = [member("b")]
    known.look()
    source.fails = True
    known.look()
    assert [one.node for one in known.members()] == ["b"]


def test_members_tell_of_themselves_in_a_store(tmp_path: Path) -> None:
    store = LocalStore(Connection.model_validate({"url": tmp_path.as_uri()}), "members")
    objects = Objects(store)
    for beat in (1, 2):
        objects.put(member("b", beat, shards={"default": {"s1": ShardState(3, "v")}}))
    objects.put(member("c"))
    store.put("fleet/d.json", b"{torn")
    assert [(one.node, one.beat) for one in objects.look()] == [("b", 2), ("c", 1)]


def test_urls_and_names_are_asked() -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), request.extensions.get("sni_hostname", "")))
        if "b.test" in str(request.url):
            return httpx.Response(503)
        return httpx.Response(200, content=member("c").encode())

    fleet = FleetSettings.model_validate({"url": "https://me.test:1", "members": ["store"]})
    calls = Calls(fleet, transport=httpx.MockTransport(answer))
    workers = now_executor()
    urls = Urls(calls, ["https://b.test:8470", "https://c.test:8470"], workers)
    assert [one.node for one in urls.look()] == ["c"]
    named = DnsName(calls, "dns://nodes.test:8470", workers, lambda *_: ["10.0.0.7", "fd00::7"])
    assert [one.node for one in named.look()] == ["c", "c"]
    assert asked[2:] == [
        ("https://10.0.0.7:8470/api/v1/node", "nodes.test"),
        ("https://[fd00::7]:8470/api/v1/node", "nodes.test"),
    ]
    assert ask(calls, "https://b.test:8470") is None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"node": ""}, "a name"),
        ({"node": "a b"}, "a name"),
        ({"url": "ftp://b"}, "a url"),
        ({"shards": {"../x": {"s": {"size": 1, "verifier": ""}}}}, "a shard with a name"),
        ({"shards": {"x": {"s": {"size": -1, "verifier": ""}}}}, "a size"),
        ({"shards": {"x": {"s": {"size": 1, "verifier": "", "minimum": 2}}}}, "a size"),
        ({"roles": ["king"]}, "Invalid enum"),
    ],
)
def test_a_record_that_cannot_be_is_refused(change: dict[str, object], found: str) -> None:
    said = {**msgspec.json.decode(member("b").encode()), **change}
    with pytest.raises(Corrupt, match=found):
        decode_member(msgspec.json.encode(said), "there")


def test_a_newer_release_may_say_more() -> None:
    said = {**msgspec.json.decode(member("b").encode()), "moons": 2}
    assert decode_member(msgspec.json.encode(said), "there") == member("b")


@pytest.mark.fuzz
@given(st.binary(max_size=2_000))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    try:
        decode_member(data, "there")
    except Corrupt as error:
        assert error.found
