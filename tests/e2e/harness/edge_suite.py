"""What every edge must do in front of real nodes, whichever balancer it is."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .edge_fleet import TEXT, WRITE, EdgeFleet, EdgeNode, stored
from .process import descendants
from .server import split_entry
from .waiting import wait_for


class EdgeSuite:
    """Tests of one kind of edge; a class of `test_edge_*.py` says which."""

    kind: str

    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Iterator[EdgeFleet]:
        """Two nodes and the edge, which are gone afterwards."""
        with contextlib.ExitStack() as stack:
            fleet = EdgeFleet(self.kind, tmp_path, stack)
            fleet.add_node("n1")
            fleet.add_node("n2")
            fleet.describe()
            fleet.start()
            yield fleet

    def test_what_is_written_can_be_read_and_names_the_client(self, fleet: EdgeFleet) -> None:
        agent = fleet.authority.issue("agent")
        forged = {"X-SSL-Client-CN": "agent", "X-Forwarded-For": "203.0.113.9"}
        with fleet.client() as client:
            answer = client.post(WRITE, content=b"by token", headers={**TEXT, **forged})
            assert answer.status_code == 201, answer.text
            receipt = answer.json()
            place = f"/shards/{receipt['shard']}/entries/{receipt['first']}"
            entry = self._entry(client, f"/api/v1/logs/default{place}")
            header, raw = split_entry(entry)
            assert raw == b"by token"
            said = json.loads(header)
            assert said["from"] == "all"
            assert said["peer"].startswith("127.0.0.1")
        with fleet.client(token=False) as client:
            answer = client.post(WRITE, content=b"by nobody", headers={**TEXT, **forged})
            assert answer.status_code == 401, answer.text
        with fleet.client(token=False, certificate=agent) as client:
            answer = client.post(WRITE, content=b"by certificate", headers=TEXT)
            assert answer.status_code == 201, answer.text

    @staticmethod
    def _entry(client: httpx.Client, path: str) -> bytes:
        """Nodes have shards of their own here: asks until the one that has it answers."""

        def found() -> bytes:
            answer = client.get(path)
            assert answer.status_code in (200, 404), answer.text
            return answer.content if answer.status_code == 200 else b""

        return wait_for(found, "the node that has the entry")

    def test_no_token_gets_from_the_cache_what_another_put_there(self, fleet: EdgeFleet) -> None:
        with fleet.client() as client, fleet.client(token=False) as stranger:
            receipt = client.post(WRITE, content=b"secret", headers=TEXT).json()
            path = f"/api/v1/logs/default/shards/{receipt['shard']}/entries/{receipt['first']}"
            for _ in range(3):
                self._entry(client, path)
            assert stranger.get(path).status_code == 401
            wrong = fleet.token[:-4] + "AAAA"
            answer = stranger.get(path, headers={"Authorization": f"Bearer {wrong}"})
            assert answer.status_code == 401
            answer = client.get(path)
            if answer.status_code == 200:
                assert "public" not in answer.headers["cache-control"]

    def test_the_edge_answers_what_does_not_go_through(self, fleet: EdgeFleet) -> None:
        with fleet.client() as client:
            for method, path, status in (
                ("GET", "/metrics", 404),
                ("GET", "/api/v1/node", 404),
                ("GET", "/api/v1/nothing", 404),
                ("GET", WRITE, 405),
                ("DELETE", "/api/v1/logs", 405),
                ("GET", "/api/v1/%6cogs", 400),
                ("GET", "/api/v1//logs", 400),
                ("POST", "/tlog/default/abc/checkpoint", 405),
            ):
                answer = client.request(method, path)
                assert answer.status_code == status, (method, path, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["status"] == status
        answer = httpx.get(f"http://localhost:{fleet.http_port}/docs?a=b", follow_redirects=False)
        assert answer.status_code == 308
        assert answer.headers["location"] == f"{fleet.url}/docs?a=b"

    def test_a_killed_node_costs_no_acknowledged_entry(self, fleet: EdgeFleet) -> None:
        first, second = fleet.nodes
        with fleet.load(again=True) as traffic:
            self._more(traffic.acknowledged, 100)
            first.kill()
            self._more(traffic.acknowledged, 200)
            first.start()
            self._more(traffic.acknowledged, 100)
        assert not traffic.failed
        for node in (first, second):
            node.stop()
        there = stored([first, second])
        assert traffic.acknowledged <= set(there)

    @staticmethod
    def _more(acknowledged: set[bytes], count: int) -> None:
        goal = len(acknowledged) + count
        wait_for(lambda: len(acknowledged) >= goal, lambda: f"{goal}, {len(acknowledged)} so far")

    def test_a_draining_node_gets_no_writes_until_it_is_back(self, fleet: EdgeFleet) -> None:
        first, second = fleet.nodes
        with fleet.client() as client:
            fleet.states["n1"] = "draining"
            fleet.describe()
            self._only(client, second)
            fleet.states["n2"] = "draining"
            fleet.describe()

            def refused() -> httpx.Response | None:
                answer = self._post(client)
                return answer if answer.status_code == 503 else None

            answer = wait_for(refused, "writes to be refused")
            assert answer is not None
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/problem+json"
            assert client.get("/api/v1/logs").status_code == 200
            fleet.states = {"n2": "draining"}
            fleet.describe()
            self._only(client, first)

    def _only(self, client: httpx.Client, node: EdgeNode) -> None:
        """Waits until writes go to one node alone."""
        shard = next((node.data / "logs" / "default").iterdir()).name

        def alone() -> bool:
            answers = [self._post(client) for _ in range(8)]
            return all(a.status_code == 201 and a.json()["shard"] == shard for a in answers)

        wait_for(alone, f"{node.name} to get all writes")

    @staticmethod
    def _post(client: httpx.Client) -> httpx.Response:
        """Writes; once more where the connection ended: NGINX closes idle ones at a reload."""
        with contextlib.suppress(httpx.TransportError):
            return client.post(WRITE, content=b"x", headers=TEXT)
        return client.post(WRITE, content=b"x", headers=TEXT)

    def test_a_stopping_node_is_left_before_it_closes(self, fleet: EdgeFleet) -> None:
        first, second = fleet.nodes
        with fleet.load(again=True) as traffic:
            self._more(traffic.acknowledged, 50)
            assert first.stop() == 0
            self._more(traffic.acknowledged, 50)
            first.start()
            self._more(traffic.acknowledged, 50)
        assert not traffic.failed
        second.stop()
        first.stop()
        assert traffic.acknowledged <= set(stored([first, second]))

    def test_a_bad_description_is_never_loaded(self, fleet: EdgeFleet) -> None:
        with fleet.client() as client:
            fleet.describe("\nnothing = like this")
            fleet.wait_said("not TOML")
            assert client.post(WRITE, content=b"x", headers=TEXT).status_code == 201
            fleet.describe("\n[nothing]\n")
            fleet.wait_said("there is no such key in a description")
            assert client.post(WRITE, content=b"x", headers=TEXT).status_code == 201
            broken = Path(fleet.directory / "to-nodes.pem")
            good = broken.read_bytes()
            broken.write_text("no certificate")
            fleet.describe()
            fleet.wait_said("nothing was loaded")
            assert client.post(WRITE, content=b"x", headers=TEXT).status_code == 201
            broken.write_bytes(good)
            fleet.limits = "idle = 50"
            fleet.describe()
            fleet.wait_said("has loaded its files anew")

    def test_a_balancer_that_dies_is_started_again(self, fleet: EdgeFleet) -> None:
        assert fleet.edge is not None
        for pid in descendants(fleet.edge.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        fleet.wait_said("is gone; it is started again")
        fleet.wait_ready()
        with fleet.client(retries=3) as client:
            assert client.post(WRITE, content=b"x", headers=TEXT).status_code == 201

    def test_a_line_of_syslog_comes_through_with_its_sender(self, fleet: EdgeFleet) -> None:
        agent = fleet.authority.issue("agent")
        trust = ssl.create_default_context(cafile=str(fleet.authority.certificate))
        trust.load_cert_chain(agent.certificate, agent.key)
        line = b"<134>1 2026-11-21T10:00:00Z host app - - - through the edge"
        with (
            socket.create_connection(("localhost", fleet.syslog_port), 10) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            stream.sendall(b"%d %b" % (len(line), line))
            own = stream.getsockname()

            def found() -> list[bytes]:
                entries = [one for node in fleet.nodes for one in node.entries()]
                return [one for one in entries if b"through the edge" in one]

            (entry,) = wait_for(found, "the line to be kept")
        assert json.loads(split_entry(entry)[0])["peer"] == f"127.0.0.1:{own[1]}"
