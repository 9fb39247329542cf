"""Membership: who there is, from records that come late, twice, damaged, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.authority import Authority
from tests.unit.fleet.ticking import Ticking, now_executor

from muniment.errors import Corrupt, SettingsError, StoreFailing
from muniment.fleet import Member, Membership, ShardState, State
from muniment.fleet.calls import Calls, PeerFailing
from muniment.fleet.member import decode_member
from muniment.fleet.sources import DnsName, Objects, Urls, ask
from muniment.settings import Connection, FleetSettings, Role, load
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


def test_a_living_node_of_the_same_name_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Scripted()
    own = member("me", 7, incarnation="mine")
    known = Membership(
        [source], node="me", heartbeat=1, lost_after=10, clock=Ticking(), own=lambda: own
    )
    for says in (own, member("me", 3, incarnation="before"), member("me", 3, incarnation="before")):
        source.says = [says]
        known.look()
    assert caplog.records == []  # itself, and what an earlier start left in a store
    for beat in (1, 2, 3):
        source.says = [member("me", beat, incarnation="other")]
        known.look()
    (record,) = caplog.records
    assert "another node is called me" in record.getMessage() and known.members() == []


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


def test_a_record_under_the_key_of_another_node_is_left_out(tmp_path: Path) -> None:
    store = LocalStore(Connection.model_validate({"url": tmp_path.as_uri()}), "members")
    store.put("fleet/b.json", member("c", 1 << 40).encode())
    objects = Objects(store)
    objects.put(member("c"))
    assert [(one.node, one.beat) for one in objects.look()] == [("c", 1)]


def test_the_record_of_who_is_gone_for_long_is_removed(tmp_path: Path) -> None:
    store = LocalStore(Connection.model_validate({"url": tmp_path.as_uri()}), "members")
    objects, clock = Objects(store), Ticking()
    known = Membership([objects], node="me", heartbeat=1, lost_after=10, clock=clock, beats=objects)
    objects.put(member("gone"))
    for beat in range(3):
        objects.put(member("here", beat))
        known.look()
        clock.tick(43_201)
    known.look()
    assert [item.key for item in store.list("fleet/")] == ["fleet/here.json"]


def test_who_is_slow_to_answer_keeps_nobody_else_waiting() -> None:
    answers, asked = Event(), []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "b.test":
            answers.wait(60)
        return httpx.Response(200, content=member(request.url.host[0]).encode())

    fleet = FleetSettings.model_validate({"url": "https://me.test:1", "members": ["store"]})
    calls = Calls(fleet, transport=httpx.MockTransport(answer))
    with ThreadPoolExecutor(4) as workers:
        urls = Urls(calls, ["https://b.test:8470", "https://c.test:8470"], workers, patience=3.0)
        assert [[one.node for one in urls.look()] for _ in range(2)] == [["c"], ["c"]]
        assert asked.count("b.test") == 1
        answers.set()
    assert [one.node for one in urls._asking.answers([])] == ["b"]


def test_while_a_name_is_not_resolved_its_last_addresses_are_asked() -> None:
    fleet = FleetSettings.model_validate({"url": "https://me.test:1", "members": ["store"]})
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=member("c").encode()))
    found: list[list[str]] = [["10.0.0.7"]]

    def resolve(name: str, port: int) -> list[str]:
        if not found:
            raise OSError(name, port)
        return found.pop()

    calls = Calls(fleet, transport=transport)
    named = DnsName(calls, "dns://nodes.test:8470", now_executor(), resolve)
    assert [[one.node for one in named.look()] for _ in range(2)] == [["c"], ["c"]]


@pytest.mark.parametrize(
    ("ca", "url", "name", "shown"),
    [
        (True, "https://b.test:8470", "", True),
        (False, "https://b.test:8470", "", False),  # anybody has a certificate of some authority
        (False, "https://known.test:8470", "", True),
        (False, "https://known.test:8471", "", False),
        (False, "https://10.0.0.7:8470", "nodes.test", True),
        (False, "http://127.0.0.1:8470", "", True),
        (False, "http://127.0.0.1.test:8470", "", None),
        (True, "http://b.test:8470", "", None),
        (True, "http://[", "", None),
    ],
)
def test_the_token_goes_to_nodes_of_the_fleet_alone(
    tmp_path: Path, ca: bool, url: str, name: str, shown: bool | None
) -> None:
    token, seen = tmp_path / "token", []
    token.write_text("secret")
    given: dict[str, object] = {
        "url": "https://me.test:1",
        "members": ["https://known.test:8470"],
        "token": token,
    }
    if ca:
        given["ca"] = Authority(tmp_path).certificate

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append("authorization" in request.headers)
        return httpx.Response(200)

    calls = Calls(FleetSettings.model_validate(given), transport=httpx.MockTransport(answer))
    if shown is None:
        with pytest.raises(PeerFailing):
            calls.get(f"{url}/api/v1/node", server_name=name)
    else:
        calls.get(f"{url}/api/v1/node", server_name=name)
    assert seen == ([] if shown is None else [shown])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"node": ""}, "a name"),
        ({"node": "a b"}, "a name"),
        ({"url": "ftp://b"}, "a url"),
        ({"url": "http://["}, "a url"),
        ({"url": "https://b.test:8470/x?y="}, "a url"),
        ({"url": "https://me:secret@b.test:8470"}, "a url"),
        ({"url": "https://b.test:99999"}, "a url"),
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


def test_heartbeats_do_not_go_into_an_archive(tmp_path: Path) -> None:
    archive = {"url": tmp_path.as_uri()}
    fleet = {"url": "https://me.test:1", "members": ["store"], "store": archive}
    with pytest.raises(SettingsError, match=r"fleet\.store is a \[\[store\]\]"):
        load({"store": [archive], "fleet": fleet}, environment={})
