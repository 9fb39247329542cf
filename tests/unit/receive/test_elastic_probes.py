"""What Elasticsearch's clients ask before they send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.receive.dialect import Reply
from muniment.receive.dialects.elastic_probes import VERSION, answer


def asked(path: str, method: str = "GET", **more: Any) -> Any:
    reply = answer(method, path, **more)
    assert reply is not None
    assert reply.status == 200, reply.body
    assert dict(reply.headers) == {"X-Elastic-Product": "Elasticsearch"}
    return json.loads(reply.body)


def test_the_root_says_what_clients_look_for() -> None:
    found = asked("/")
    assert found["version"]["number"] == VERSION
    assert int(VERSION.split(".")[0]) >= 9
    assert found["version"]["build_flavor"] == "default"
    assert found["tagline"] == "You Know, for Search"
    assert found["cluster_name"]
    assert len(found["cluster_uuid"]) == 22
    assert asked("/", "HEAD") == found


def test_the_licence_is_active() -> None:
    for path in ("/_license", "/_xpack", "/_xpack/license"):
        assert asked(path)["license"]["status"] == "active"
        assert asked(path)["license"]["type"] == "basic"
    assert asked("/_xpack")["features"]["ilm"] == {"available": True, "enabled": True}


def test_health_is_green() -> None:
    assert asked("/_cluster/health")["status"] == "green"
    assert asked("/_cluster/health/logs")["timed_out"] is False
    for query, found in ((b"", b"muniment green\n"), (b"format=json", b"[{")):
        reply = answer("GET", "/_cat/health", query)
        assert reply is not None
        assert reply.body.startswith(found)


def test_nodes_are_the_one_that_was_asked() -> None:
    for path in ("/_nodes/http", "/_nodes/_all/http", "/_nodes/_local", "/_nodes/ingest"):
        assert asked(path)["nodes"] == {}
    (node,) = asked("/_nodes/http", host="logs.example:9200")["nodes"].values()
    assert node["http"]["publish_address"] == "logs.example:9200"
    assert node["version"] == VERSION
    assert asked("/_nodes/http", host="[::1]:9200")["nodes"]
    assert asked("/_nodes/ingest", host="logs.example:9200")["nodes"] == {}
    for host in ("", "logs.example", 'a"b:1', "a:123456", "a:1\n"):
        assert asked("/_nodes/http", host=host)["nodes"] == {}


@pytest.mark.parametrize(
    "path",
    [
        "/_ilm/policy/filebeat",
        "/_index_template/filebeat-9.1.0",
        "/_component_template/x",
        "/_template/logstash",
        "/_ingest/pipeline/filebeat-nginx-access",
        "/_logstash/pipeline/main",
        "/_data_stream/filebeat-9.1.0",
        "/_data_stream/x/_lifecycle",
        "/_alias/logstash",
    ],
)
def test_what_clients_bring_along_is_there_and_acknowledged(path: str) -> None:
    assert asked(path) == {}
    assert asked(path, "HEAD") == {}
    assert asked(path, "PUT") == {"acknowledged": True}
    assert asked(path, "POST") == {"acknowledged": True}


def test_an_index_is_there_and_can_be_made() -> None:
    assert asked("/logstash", "HEAD")
    assert asked("/logs/_alias/x", "HEAD")
    date_math = "/<logstash-{now/d}-000001>"
    assert asked(date_math, "PUT") == {
        "acknowledged": True,
        "shards_acknowledged": True,
        "index": "<logstash-{now/d}-000001>",
    }
    for path in ("/logs/_mapping", "/logs/_settings", "/logs/_alias/x"):
        assert asked(path, "PUT") == {"acknowledged": True}
    assert asked("/_aliases", "POST") == {"acknowledged": True}
    assert asked("/logs/_refresh", "POST")["_shards"]["failed"] == 0


def test_some_others() -> None:
    assert asked("/_security/_authenticate")["enabled"] is True
    assert asked("/_cluster/settings")["persistent"] == {}
    reply = answer("GET", "/_cat/templates/filebeat")
    assert reply is not None
    assert reply.body == b"filebeat\n"


def test_the_answer_is_of_the_version_that_was_asked_for() -> None:
    accept = "application/vnd.elasticsearch+json; compatible-with=9"
    reply = answer("GET", "/", accept=accept)
    assert reply is not None
    assert reply.media == "application/vnd.elasticsearch+json;compatible-with=9"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/logs"),
        ("GET", "/api/v1/logs"),
        ("GET", "/docs"),
        ("POST", "/logs"),
        ("PUT", "/logs/other/thing"),
        ("DELETE", "/logs"),
        ("HEAD", "/console/app.js"),
        ("GET", ""),
    ],
)
def test_what_is_none_of_elasticsearchs(method: str, path: str) -> None:
    assert answer(method, path) is None


def test_what_is_not_there_is_refused_in_its_words() -> None:
    for method, path in (("GET", "/_search"), ("DELETE", "/_template/x"), ("GET", "/_cat/x")):
        reply = answer(method, path)
        assert reply is not None
        assert reply.status == 400
        assert "no handler" in json.loads(reply.body)["error"]["reason"]
        assert dict(reply.headers)["X-Elastic-Product"]


@pytest.mark.fuzz
@given(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    st.text(max_size=30) | st.text(alphabet=st.characters(categories=["Cs", "Po"]), max_size=5),
    st.binary(max_size=20),
    st.text(max_size=20),
)
def test_any_path_has_an_answer_or_none(method: str, text: str, query: bytes, host: str) -> None:
    for path in (text, f"/{text}", f"/_cat/templates/{text}", f"/_alias/{text}", f"/_{text}"):
        reply = answer(method, path, query, host, host=host)
        if reply is None:
            continue
        assert isinstance(reply, Reply)
        assert len(reply.body) < 1_500 + 4 * len(text)
        if reply.media == "application/json":
            json.loads(reply.body)
