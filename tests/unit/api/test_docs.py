"""The documentation: complete, true, and readable without any other server."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

METHODS = {"get", "post"}
EXPECTED = {
    ("get", "/api/v1/tokens"),
    ("post", "/api/v1/tokens"),
    ("delete", "/api/v1/tokens/{id}"),
    ("get", "/api/v1/logs"),
    ("post", "/api/v1/logs/{log}/entries"),
    ("get", "/api/v1/logs/{log}/shards/{shard}/entries/{index}"),
    ("get", "/api/v1/logs/{log}/shards/{shard}/entries/{index}/proof"),
    ("get", "/api/v1/logs/{log}/search"),
    ("get", "/api/v1/logs/{log}/histogram"),
    ("get", "/api/v1/logs/{log}/tail"),
    ("post", "/api/v1/sql"),
    ("get", "/tlog/{log}/{shard}/checkpoint"),
    ("get", "/tlog/{log}/{shard}/tile/{level}/{tile}"),
    ("get", "/tlog/{log}/{shard}/tile/entries/{tile}"),
    *(
        ("get", f"/api/v1/logs/{{log}}/{name}")
        for name in ("objects", "history", "version", "diff", "blame", "explain", "traces/{trace}")
    ),
    ("get", "/api/v1/logs/{log}/completeness"),
    ("put", "/api/v1/logs/{log}/attachments"),
    ("get", "/api/v1/logs/{log}/attachments/{digest}"),
    ("get", "/api/v1/stores"),
    ("get", "/api/v1/stores/{name}/worm"),
    ("get", "/api/v1/logs/{log}/retention"),
    ("get", "/api/v1/logs/{log}/holds"),
    ("post", "/api/v1/logs/{log}/holds"),
    ("delete", "/api/v1/logs/{log}/holds/{hold}"),
    ("get", "/api/v1/node"),
    ("get", "/api/v1/members"),
    ("get", "/api/v1/everywhere"),
    ("get", "/api/v1/mirrors"),
    ("get", "/api/v1/logs/{log}/shards/{shard}/segments"),
    ("get", "/api/v1/logs/{log}/shards/{shard}/segments/{first}"),
    ("get", "/tlog/{log}/{shard}/pruned"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_is_documented(document: dict[str, Any]) -> None:
    assert set(operations(document)) == EXPECTED


def test_every_operation_says_what_it_takes_gives_and_refuses(document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        assert operation["description"], path
        assert operation["tags"], path
        named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        good = [status for status in operation["responses"] if status.startswith("2")]
        assert good, path
        assert all(operation["responses"][s]["content"] for s in good if s != "204"), path
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                assert list(answer["content"]) == ["application/problem+json"], (path, status)
        if method == "post":
            assert operation["requestBody"]["content"]
        if path.startswith(("/api", "/tlog", "/metrics")):
            assert {"400", "401", "403"} <= operation["responses"].keys()
            assert operation["security"] == [{"token": []}, {}]


def test_the_write_operation_names_all_media_types_and_refusals(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/logs/{log}/entries"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "text/plain", "application/x-ndjson", "application/json", "application/octet-stream",
    }  # fmt: skip
    assert {p["name"] for p in operation["parameters"]} == {
        "log", "as", "Idempotency-Key", "Content-Encoding",
    }  # fmt: skip
    refusals = {"400", "401", "403", "404", "408", "409", "411", "413", "415", "429", "503"}
    assert operation["responses"].keys() == refusals | {"201"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def walk(value: object) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                place: Any = document
                for part in str(value["$ref"]).removeprefix("#/").split("/"):
                    place = place[part]
            assert value.get("type") != "null", "not in OpenAPI 3.0"
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)
    assert document["openapi"] == "3.0.3"


def test_the_page_and_its_files_come_from_here(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text and "style=" not in page.text
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 4
    for path in files:
        assert path.startswith("/docs/")
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.content


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fapi%2fdocs.py", "%2e%2e/app.py", ""])
def test_no_other_file_comes_from_there(client: httpx.Client, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_the_console_is_at_the_root(client: httpx.Client) -> None:
    page = client.get("/", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    script = re.search(r'src="(js/[^"]+)"', page.text)
    assert script
    assert client.get(f"/{script[1]}").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path", ["/nothing", "/js/", "/%2e%2e/__init__.py", "/..%2f__init__.py", "/js/%00", "/api/v2/x"]
)
def test_what_is_not_there_is_a_problem(client: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = client.request(method, path)
        assert answer.status_code == 404, method
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_method_that_is_not_taken_is_named(client: httpx.Client) -> None:
    answer = client.delete("/api/v1/logs")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.json()["status"] == 405
