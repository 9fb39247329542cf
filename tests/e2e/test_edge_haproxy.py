"""HAProxy as the edge, run by `muniment edge run haproxy`, in front of real nodes."""

from __future__ import annotations

from muniment.balancer.haproxy import StatsSocket

from .harness.edge_fleet import TEXT, WRITE, EdgeFleet
from .harness.edge_suite import EdgeSuite


class TestHAProxy(EdgeSuite):
    """As every edge, and what HAProxy can beyond."""

    kind = "haproxy"

    def test_no_request_fails_while_it_is_reloaded(self, fleet: EdgeFleet) -> None:
        with fleet.load() as traffic:
            for number in range(4):
                fleet.limits = f"idle = {50 + number}"
                fleet.describe()
                fleet.wait_said("has loaded its files anew", number + 1)
                self._more(traffic.acknowledged, 50)
        assert not traffic.failed

    def test_a_node_that_is_added_gets_its_share(self, fleet: EdgeFleet) -> None:
        with fleet.load() as traffic:
            third = fleet.add_node("n3")
            fleet.describe()
            fleet.wait_said("has loaded its files anew")
            self._more(traffic.acknowledged, 200)
        assert not traffic.failed
        third.stop()
        assert third.entries()

    def test_a_cached_entry_is_answered_when_no_node_is_there(self, fleet: EdgeFleet) -> None:
        with fleet.client() as client, fleet.client(token=False) as stranger:
            receipt = client.post(WRITE, content=b"kept", headers=TEXT).json()
            path = f"/api/v1/logs/default/shards/{receipt['shard']}/entries/{receipt['first']}"
            entry = self._entry(client, path)
            for node in fleet.nodes:
                node.kill()
            answer = client.get(path)
            assert (answer.status_code, answer.content) == (200, entry)
            assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
            assert client.get(f"{path}?x=1").status_code == 503
            assert stranger.get(path).status_code == 503
            shard = f"/tlog/default/{receipt['shard']}"
            assert client.get(f"{shard}/checkpoint").status_code == 503

    def test_the_table_of_tokens_holds_no_secret(self, fleet: EdgeFleet) -> None:
        with fleet.client() as client:
            client.get("/api/v1/logs")
        socket = StatsSocket(str(fleet.directory / "run" / "admin.sock"))
        table = socket.ask("show table by_token")
        assert "used:1" in table
        assert fleet.token not in table
        assert (fleet.directory / "run" / "admin.sock").stat().st_mode & 0o777 == 0o600
