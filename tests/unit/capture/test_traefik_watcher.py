"""What is made of a Traefik's recorded answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_pages import Recorded, recorded

from muniment.balancer.pages import NotSeen
from muniment.balancer.traefik import KINDS, configured, health, normal, served
from muniment.capture.change import change
from muniment.capture.port import Observation
from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.capture.systems.traefik import Settings, TraefikWatcher, watchers

DATA = Path(__file__).parents[2] / "data" / "traefik" / "api"
REDACT = redactor(b"k" * 32)


@pytest.fixture
def traefik() -> Iterator[Recorded]:
    pages = {f"/api/{one}": f"{one}.json" for one in ("rawdata", "version", "entrypoints")}
    pages["/metrics"] = "metrics.txt"
    with recorded({page: (DATA / file).read_bytes() for page, file in pages.items()}) as found:
        yield found


@pytest.fixture
def watch(traefik: Recorded) -> Iterator[Callable[[], dict[str, Observation]]]:
    made = Settings(name="edge", url=traefik.url, metrics=f"{traefik.url}/metrics")
    (watcher,) = watchers(made, REDACT)
    yield lambda: {seen.scope: seen for seen in watcher.observe()}
    watcher.close()


def edit(traefik: Recorded, act: Callable[[dict[str, Any]], object]) -> None:
    """Changes the recorded configuration."""
    raw = json.loads(traefik.answers["/api/rawdata"])
    act(raw)
    traefik.answers["/api/rawdata"] = json.dumps(raw).encode()


def changes(old: dict[str, Observation], new: dict[str, Observation]) -> dict[str, Any]:
    """What differs between two looks, by object."""
    found = {}
    for scope, seen in new.items():
        assert not seen.error
        for name in old[scope].objects.keys() | seen.objects.keys():
            before, after = old[scope].objects.get(name), seen.objects.get(name)
            event = change(name, before, after, time="2", since="1")
            if event is not None:
                found[name] = event
    return found


def test_everything_is_an_object(watch: Callable[[], dict[str, Observation]]) -> None:
    seen = watch()
    names = {name for one in seen.values() for name in one.objects}
    assert {
        "traefik:edge/router/app@file",
        "traefik:edge/tcp-router/raw@file",
        "traefik:edge/service/app@file",
        "traefik:edge/tcp-service/raw@file",
        "traefik:edge/middleware/auth@file",
        "traefik:edge/health/service/app@file",
        "traefik:edge/entrypoint/web",
        "traefik:edge/process/traefik",
    } <= names
    assert [str(ObjectName.parse(name)) for name in names] == list(names)
    service = seen["configuration"].objects["traefik:edge/service/app@file"]
    assert service.state["loadBalancer"]["servers"] == {
        "http://127.0.0.1:8001": {"weight": 3},
        "http://127.0.0.1:8002": {},
    }
    (counter,) = seen["counters"].counters
    assert (counter.name, counter.served) == ("requests", 3)
    assert counter.epoch.startswith("20")


def test_secrets_of_middlewares_stay(watch: Callable[[], dict[str, Observation]]) -> None:
    seen = watch()["configuration"].objects
    for name, secrets in {
        "auth": ["$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"],
        "hdr": ["topsecret", "Bearer x"],
    }.items():
        shown = seen[f"traefik:edge/middleware/{name}@file"]
        assert shown.redacted
        assert not [secret for secret in secrets if secret in str(shown.state)]
    kept = seen["traefik:edge/middleware/auth@file"].state["basicAuth"]["users"][0]
    assert kept.startswith("ann:[redacted ")
    headers = seen["traefik:edge/middleware/hdr@file"].state["headers"]
    assert headers["customRequestHeaders"]["X-Env"] == "prod"


def test_order_and_use_are_no_change(
    traefik: Recorded, watch: Callable[[], dict[str, Observation]]
) -> None:
    before = watch()

    def shuffle(raw: dict[str, Any]) -> None:
        raw["services"]["app@file"]["loadBalancer"]["servers"].reverse()
        raw["services"]["app@file"]["usedBy"] = ["other@file", "app@file"]
        raw["routers"]["app@file"]["using"] = []
        raw["routers"] = dict(reversed(raw["routers"].items()))

    edit(traefik, shuffle)
    assert changes(before, watch()) == {}


def test_each_edit_is_one_change(
    traefik: Recorded, watch: Callable[[], dict[str, Observation]]
) -> None:
    before = watch()
    edit(traefik, lambda raw: raw["services"]["app@file"]["loadBalancer"]["servers"].pop())
    (event,) = changes(before, watch()).values()
    assert event["fields"] == [
        {"path": "/loadBalancer/servers/http:~1~1127.0.0.1:8002", "before": {}}
    ]
    before = watch()
    edit(traefik, lambda raw: raw["services"]["app@file"]["serverStatus"].clear())
    (name,) = changes(before, watch())
    assert name == "traefik:edge/health/service/app@file"
    before = watch()
    edit(traefik, lambda raw: raw["routers"].pop("app@file"))
    (event,) = changes(before, watch()).values()
    assert event["change"] == "delete"


def test_what_cannot_be_seen_was_not_deleted(
    traefik: Recorded, watch: Callable[[], dict[str, Observation]]
) -> None:
    for page, told in [("/api/rawdata", b"{"), ("/api/rawdata", b"[]"), ("/api/version", b"")]:
        kept, traefik.answers[page] = traefik.answers[page], told
        errors = {scope for scope, seen in watch().items() if seen.error}
        assert errors == ({"configuration", "health"} if page == "/api/rawdata" else {"process"})
        traefik.answers[page] = kept
    del traefik.answers["/metrics"]
    assert watch()["counters"].error
    assert watch()["counters"].counters == []


def test_entry_points_are_counted_alone_where_they_have_queries(traefik: Recorded) -> None:
    made = Settings(
        name="edge",
        url=traefik.url,
        metrics=f"{traefik.url}/metrics",
        entrypoints={"web": "source:traefik stream:edge/web", "raw": "source:traefik"},
    )
    watcher = TraefikWatcher(made, REDACT)
    counters = [one for seen in watcher.observe() for one in seen.counters]
    assert [(one.name, one.served, one.match) for one in counters] == [
        ("web", 3, "source:traefik stream:edge/web"),
        ("raw", 0, "source:traefik"),
    ]
    watcher.close()


@pytest.mark.parametrize("file", sorted(path.name for path in DATA.glob("*rawdata*.json")))
def test_other_traefiks_are_read_whole(file: str) -> None:
    raw = json.loads((DATA / file).read_text())
    found = [(kind, name) for kind, name, _ in configured(raw)]
    assert len(found) == sum(len(raw.get(member) or {}) for member in KINDS)
    assert len(set(found)) == len(found)
    for _, _, told in configured(raw):
        assert not {"using", "usedBy", "serverStatus"} & told.keys()
        assert Snapshot(normal(told)).version == Snapshot(told).version
    for _, _, down in health(raw):
        assert "UP" not in down.values()


@pytest.mark.fuzz
@given(st.binary(max_size=200), st.integers(0, 3_000), st.integers(0, 50))
def test_any_page_of_metrics_is_read_or_refused(put: bytes, at: int, cut: int) -> None:
    page = (DATA / "metrics.txt").read_bytes()
    at += page.index(b"traefik_entrypoint_requests_total{") - 1_500
    for text in (put, page[:at] + put + page[at + cut :]):
        try:
            counts = served(text)
        except NotSeen:
            continue
        assert all(isinstance(count, int) for count in counts.values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "servers",
                    "url",
                    "status",
                    "error",
                    "entryPoints",
                    "loadBalancer",
                    "users",
                    "a@b",
                    "services",
                    "serverStatus",
                    "service",
                    "key",
                    "value",
                    "password",
                    "name",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*KINDS]), json_values, max_size=4))
def test_any_answer_is_objects_or_an_error(
    traefik: Recorded, watch: Callable[[], dict[str, Observation]], raw: dict[str, Any]
) -> None:
    traefik.answers["/api/rawdata"] = orjson.dumps(raw)
    for seen in watch().values():
        assert seen.error or all(snapshot.version for snapshot in seen.objects.values())
