"""The audit webhook of a real Kubernetes API server: over kills of the server, every event that
the API server wrote into its own audit file is an entry, once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from muniment.trust.directory import verify_directory

from .harness.certificate import write_certificate
from .harness.kube_apiserver import ApiServer, kube_apiserver
from .harness.process import free_port
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

KILLS = 3
REQUESTS = 120
"""Requests of the API server around each kill."""

LISTENER = """
[[receive]]
protocol = "kubernetes"
listen = "127.0.0.1:{port}"
tls_certificate = "{pem}"
tls_key = "{pem}"
"""

Identity = tuple[str, str]


@dataclass
class Audited:
    """A server, and what a running API server has told it up to now, by its own account."""

    server: MunimentServer
    told: list[dict[str, Any]]

    def kept(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The receipt header and the event of every entry that came by the webhook."""
        found = [
            (json.loads(header), raw) for header, raw in map(split_entry, self.server.stored())
        ]
        return [(head, json.loads(raw)) for head, raw in found if head["via"] == "kubernetes"]


def identity(event: dict[str, Any]) -> Identity:
    """What tells an event from all others."""
    return event["auditID"], event["stage"]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    directory, port = tmp_path_factory.mktemp("kube-apiserver"), free_port()
    trust = write_certificate(directory)
    env = {"MUNIMENT_REQUIRE_TOKENS": "true"}
    with serving(directory, env, config=LISTENER.format(port=port, pem=trust)) as server:
        server.http.headers["Authorization"] = f"Bearer {server.admin_token}"
        webhook = f"https://127.0.0.1:{port}/kubernetes/audit"
        with kube_apiserver(directory, webhook, server.admin_token, trust) as api:
            for run in range(KILLS):
                work_over_a_kill(server, api, run)
            yield Audited(server, api.events())


def work_over_a_kill(server: MunimentServer, api: ApiServer, run: int) -> None:
    """Asks the API server for much while Muniment is killed and started again."""
    with ThreadPoolExecutor(1) as pool:
        before = server.shard()["size"]
        worker = pool.submit(work, api, f"run{run}", REQUESTS)
        wait_for(lambda: server.shard()["size"] > before, "events of this run")
        server.kill()
        worker.result(120)
    server.start()
    work(api, f"more{run}", 5)


def work(api: ApiServer, namespace: str, requests: int) -> None:
    """Makes a namespace and writes, reads and deletes in it; every fifth thing is missing."""
    made = {"metadata": {"name": namespace}}
    assert api.http.post("/api/v1/namespaces", json=made).status_code == 201
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(requests // 4):
        name = f"map-{number}"
        body = {"metadata": {"name": name}, "data": {"text": "ä\n" * number}}
        assert api.http.post(path, json=body).status_code == 201
        assert api.http.get(f"{path}/{name}").status_code == 200
        assert api.http.delete(f"{path}/{name}").status_code == 200
        assert api.http.get(f"{path}/none").status_code == 404


def test_every_audit_event_is_kept_once(audited: Audited) -> None:
    told = Counter(map(identity, audited.told))
    assert set(told.values()) == {1}
    assert len(told) > KILLS * REQUESTS

    def missing() -> set[Identity]:
        return set(told) - {identity(event) for _, event in audited.kept()}

    wait_for(lambda: not missing(), lambda: f"{len(missing())} of {len(told)} events")

    kept = Counter(identity(event) for _, event in audited.kept())
    again = {who: count for who, count in kept.items() if count > 1}
    print(f"\n{len(told)} events over {KILLS} kills, {len(again)} kept more than once")
    assert not again  # a batch that is sent again holds the same bytes: it is taken once
    assert {head["from"] for head, _ in audited.kept()} == {"admin"}


def test_each_event_is_the_one_in_the_file_of_the_api_server(audited: Audited) -> None:
    kept = {identity(event): event for _, event in audited.kept()}

    for event in audited.told:
        # In the list that the webhook posts, these two stand at its top.
        of_the_list = {"kind": "Event", "apiVersion": "audit.k8s.io/v1"}
        assert of_the_list | kept[identity(event)] == event


def test_events_are_found_by_what_they_say(audited: Audited) -> None:
    audited.server.wait_indexed()
    made = [
        event
        for event in audited.told
        if (event["verb"], event["stage"]) == ("create", "ResponseComplete")
        and event["objectRef"].get("namespace") == "run0"
        and event["objectRef"]["resource"] == "configmaps"
    ]
    assert len(made) == REQUESTS // 4

    rows = audited.server.sql(
        "SELECT metadata.uid, class_uid, api.operation, actor.user.name FROM events"
        " WHERE resources[1].namespace = 'run0' AND resources[1].type = 'configmaps'"
        " AND api.operation = 'create' AND metadata.event_code = 'ResponseComplete'"
    )

    expected = {f"{event['auditID']}/{event['stage']}" for event in made}
    assert {row[0] for row in rows} == expected
    assert {tuple(row[1:]) for row in rows} == {(6003, "create", "admin")}


def test_the_directory_is_intact(audited: Audited) -> None:
    report = verify_directory(audited.server.data)
    assert report.intact, "\n".join(map(str, report.findings))
