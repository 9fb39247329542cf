"""Who did it, when errors rose, what belongs together, and one request on its way."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.query.condition import check
from muniment.query.history import acts, explain
from muniment.query.history.acts import Names
from muniment.query.history.blame import conclusion, evidence, own_word, stretch
from muniment.query.history.rise import Bucket, find_rise, onset
from muniment.query.history.trace import hops
from muniment.query.parser import parse

T = "2026-11-21T10:00:{:02d}.000000Z"
INGRESS = Names.of("kubernetes:prod/ingress/default/web", ["ingresses/default/web"])


UPDATE: dict[str, Any] = {"change": "update", "since": "", "time": T.format(10), "by": {}}


def audit(verb: int = 3, index: int = 0, **more: Any) -> dict[str, Any]:
    resource = {"type": "ingresses", "namespace": "default", "name": "web"}
    known = {
        "shard": "s",
        "index": index,
        "time": 1_000 + index,
        "time_dt": T.format(8),
        "source": "kubernetes",
        "class_uid": 6003,
        "activity_id": verb,
        "status_id": 1,
        "metadata": {"correlation_uid": f"a-{index}", "event_code": "ResponseComplete"},
        "actor": {"user": {"name": "alice"}},
        "src_endpoint": {"ip": "203.0.113.9"},
        "http_request": {"user_agent": "kubectl/v1.34"},
        "api": {"operation": "patch"},
        "resources": [resource],
        "raw_data": "{}",
    }
    return known | more


def told(rows: list[dict[str, Any]], names: Names = INGRESS, **more: Any) -> list[tuple[int, bool]]:
    found = evidence(rows, names, UPDATE | more)
    return [(item["entry"]["index"], item["certain"]) for item in found]


def test_a_write_that_names_the_object_is_certain() -> None:
    (item,) = evidence([audit()], INGRESS, UPDATE)
    assert (item["who"], item["where"], item["certain"]) == ("alice", "203.0.113.9", True)
    assert item["how"] == "kubectl, Kubernetes API"
    assert item["request"] == "a-0"


def test_other_rows_are_doubted_or_left_out() -> None:
    other = {"type": "ingresses", "namespace": "shop", "name": "web"}
    rows = [
        audit(index=0, status_id=2, status_code="403"),
        audit(2, index=1),
        audit(index=2, resources=[other]),
        audit(index=3, resources=[], raw_data='{"x":"ingresses/default/web"}'),
        audit(index=4, http_request={"url": {"query_string": "dryRun=All"}}),
        audit(index=5, class_uid=6002, source="haproxy", app={"name": "default/web"}, resources=[]),
        audit(
            index=6, resources=[{"type": "ingresses/status", "namespace": "default", "name": "web"}]
        ),
    ]
    assert told(rows) == [(n, False) for n in (0, 3, 4, 5, 6)]


def test_the_act_that_made_the_resource_version_is_the_one() -> None:
    rows = [audit(index=0), audit(index=1, raw_data='{"resourceVersion":"77"}')]
    assert told(rows) == [(0, True), (1, True)]
    assert told(rows, by={"revision": "77"}) == [(1, True), (0, False)]
    assert told(rows, by={"revision": "78"}) == [(0, True), (1, True)]
    scale = Names.of(
        "kubernetes:p/scale/deployments/default/web", ["deployments/scale/default/web"]
    )
    resource = {"type": "deployments/scale", "namespace": "default", "name": "web"}
    assert told([audit(resources=[resource])], scale) == [(0, True)]


def test_a_create_is_no_update_and_what_is_between_the_looks_goes_first() -> None:
    assert told([audit(1, index=0), audit(3, index=1)]) == [(1, True), (0, False)]
    assert told([audit(1, index=0), audit(3, index=1)], change="create") == [(0, True), (1, True)]
    assert told([audit(4, index=0)], change="delete") == [(0, True)]
    since, time = "1970-01-01T00:00:01.001Z", "1970-01-01T00:00:01.003Z"
    rows = [audit(index=n) for n in range(6)]
    certain = [n for n, sure in told(rows, since=since, time=time) if sure]
    assert certain == [2, 3]
    assert told(rows[:1], since=since, time=time) == [(0, True)]


def test_an_act_between_the_looks_of_another_version_made_that_one() -> None:
    own = {"since": "1970-01-01T00:00:00.500Z", "time": "1970-01-01T00:00:00.900Z"}
    version, later = UPDATE | own, (900, 1_500)
    (item,) = evidence([audit()], INGRESS, version, [(500, 900), later])
    assert not item["certain"] and "another version" in item["why"]
    assert evidence([audit()], INGRESS, version, [(500, 900)])[0]["certain"]
    (own_act,) = evidence([audit(time=800)], INGRESS, version, [(500, 900), (700, 1_500)])
    assert own_act["certain"]


def test_the_stages_of_a_request_are_one() -> None:
    stages = [
        audit(index=n, metadata={"correlation_uid": "a", "event_code": stage})
        for n, stage in enumerate(["RequestReceived", "ResponseComplete", "ResponseStarted"])
    ]
    assert told(stages) == [(1, True)]


def test_a_rollback_is_an_act_on_its_object() -> None:
    row = audit(
        99,
        source="muniment",
        api={"operation": "rollback.done"},
        resources=[{"name": INGRESS.object}],
        metadata={},
    )
    (item,) = evidence([row], INGRESS, UPDATE)
    assert (item["how"], item["certain"]) == ("muniment rollback", True)


def test_paths_and_arns_name_objects() -> None:
    arn = "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/web/1/2"
    listener = Names.of(f"aws:prod/listener/{arn}", [arn])
    assert acts.named(audit(resources=[{"uid": arn}]), listener)
    assert not acts.named(audit(resources=[{"uid": f"{arn}/9"}]), listener)
    file = Names.of("nginx:edge/file/etc/nginx/nginx.conf")
    assert acts.named(audit(resources=[{"name": "/etc/nginx/nginx.conf"}]), file)
    server = Names.of("haproxy:lb1/server/web/w2")
    url = {"url": {"path": "/v3/services/haproxy/runtime/backends/web/servers/w2"}}
    assert not acts.named(audit(resources=[], http_request=url), server)
    assert acts.named(audit(resources=[{"name": "web/w2"}]), server)


@pytest.mark.fuzz
@given(st.text(min_size=1, max_size=1_100), st.lists(st.text(max_size=300), max_size=20))
def test_any_names_make_a_query_that_is_one(name, others) -> None:
    names = Names.of(name, others)
    check(parse(acts.acts_query(names)))
    check(parse(explain.narrowed({"backend": name[:300]})))


def test_queries_are_understood() -> None:
    for query in (acts.writes_query(), explain.CHANGES, explain.RELOADS, explain.GAPS):
        check(parse(query))
    check(parse(f"{explain.TRAFFIC} {explain.ERRORS}"))


def test_who_is_said_in_a_sentence() -> None:
    version = {"change": "update", "since": T.format(5), "time": T.format(10), "by": {}}
    between = f"between {version['since']} and {version['time']}"
    assert conclusion(version, evidence([audit()], INGRESS, UPDATE)) == (
        f"changed {between} by alice from 203.0.113.9 through kubectl, Kubernetes API"
    )
    assert conclusion(version, []) == f"no evidence of who: changed {between}"
    doubted = evidence([audit(status_id=2)], INGRESS, UPDATE)
    assert conclusion(version, doubted).startswith("no certain evidence of who")
    by = own_word({"tool": "kubectl"}, "kubernetes", T.format(9), {"shard": "s", "index": 1})
    assert (by["who"], by["certain"]) == ("kubectl", False)
    assert own_word({"user": "bob"}, "aws", "", {})["certain"]
    assert stretch(20_000, 10_000) == (5_000, 25_001)


def buckets(*pairs: tuple[int, int]) -> list[Bucket]:
    return [Bucket(1_000 * n, count, errors) for n, (count, errors) in enumerate(pairs)]


def test_a_rise_is_found() -> None:
    found = find_rise(buckets((100, 1), (100, 2), (0, 0), (100, 50), (100, 1), (90, 60)), 1_000)
    assert found is not None
    assert (found.start, found.end, found.errors, found.count) == (3_000, 6_000, 111, 290)
    assert found.before == 0.015
    fine = [Bucket(3_000 + n * 100, 10, 9 if n > 4 else 0) for n in range(10)]
    assert onset(found, fine) == 3_500
    assert onset(found, []) == 3_000


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(0, 0)],
        [(100, 4)],
        [(100, 3), (100, 4), (100, 4)],
        [(1000, 40), (1000, 85)],
    ],
)
def test_what_is_no_rise(pairs) -> None:
    assert find_rise(buckets(*pairs), 1_000) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_any_counts_have_a_rise_or_none(pairs) -> None:
    counted = buckets(*[(max(pair), min(pair)) for pair in pairs])
    found = find_rise(counted, 1_000)
    if found is not None:
        assert 0 <= found.start < found.end <= 1_000 * len(counted)
        assert found.errors >= 5
        assert found.share > 0


def change_row(index: int, second: int, backend: str, activity: int = 3) -> dict[str, Any]:
    return {
        "shard": "s",
        "index": index,
        "time_dt": T.format(second),
        "class_uid": 3004,
        "activity_id": activity,
        "source": "change",
        "message": f"change {index}",
        "entity": {"uid": "kubernetes:prod/ingress/default/web", "type": "kubernetes.ingress"},
        "load_balancer": {"dst_endpoint": {"svc_name": backend, "name": "w2"}},
        "unmapped": orjson.dumps(
            {"since": T.format(second - 5), "names": ["ingresses/default/web"]}
        ).decode(),
    }


def test_act_change_and_effect_are_joined() -> None:
    rise = {
        "start": T.format(12),
        "end": T.format(50),
        "where": [{"frontend": "https", "backend": "web", "server": "w2", "errors": 9}],
    }
    rows = [change_row(1, 10, "web"), change_row(2, 10, "other"), change_row(3, 9, "web", 2)]
    act = audit(index=4)
    items = [*map(explain.change_item, rows), explain.act_item(act)]
    explain.join(items, {("s", 4): act}, rise)
    assert items[0]["joins"] == [{"to": "effect", "by": "server w2"}]
    assert items[1]["joins"] == []
    assert "joins" not in items[2]
    assert {one["to"]["index"] for one in items[3]["joins"]} == {1, 2}
    (first, *_) = explain.summary(items, rise)
    assert "alice" in first
    assert "2 s later errors rose at server w2" in first
    assert explain.summary([], None) == ["errors did not rise in this time"]


def test_a_backend_of_an_ingress_controller_is_known_by_its_name() -> None:
    rise = {
        "start": T.format(12),
        "end": T.format(50),
        "where": [{"backend": "default-web-80"}, {"backend": "shop_cart_http"}],
    }
    change = explain.change_item(change_row(1, 10, "web"))
    explain.join([change], {}, rise)
    assert change["joins"] == [{"to": "effect", "by": "backend default-web-80"}]
    change["object"] = "kubernetes:prod/ingress/default/we"
    explain.join([change], {}, rise)
    assert change["joins"] == []
    (said,) = explain.summary([change], rise)
    assert said.endswith(f"the last before it, {T.format(10)}: change 1")


def hop(index: int, at: str, duration: int | None, source: str = "json", **more: Any) -> Any:
    known = {"shard": "s", "index": index, "time_dt": at, "source": source}
    return known | ({} if duration is None else {"duration": duration}) | more


def test_hops_are_in_order_with_their_own_latency() -> None:
    made = hops(
        [
            hop(0, "2026-11-21T10:00:00.090000Z", 80, "syslog/nginx"),
            hop(1, "2026-11-21T10:00:00.000000Z", 100, "haproxy"),
            hop(2, "2026-11-21T10:00:00.015000Z", 30, service={"name": "shop"}),
            hop(3, "2026-11-21T10:00:00.050000Z", None),
        ]
    )
    assert [h["entry"]["index"] for h in made] == [1, 0, 2, 3]
    assert [(h["latency_ms"], h["own_ms"], h["gap_ms"]) for h in made] == [
        (100, 20, None),
        (80, 50, 10),
        (30, 30, 5),
        (None, None, 35),
    ]
    assert made[2]["name"] == "shop"


@pytest.mark.fuzz
@given(
    st.lists(
        st.builds(
            hop,
            st.integers(0, 9),
            st.sampled_from(["1900-01-02T00:00:00Z", "9998-12-31T23:59:59.999999Z"]),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.sampled_from(["nginx", "haproxy"]),
        ),
        max_size=5,
    )
)
def test_any_times_make_hops(rows) -> None:
    made = hops(rows)
    assert len(made) == len(rows)
    assert all(h["own_ms"] is None or 0 <= h["own_ms"] <= h["latency_ms"] for h in made)
