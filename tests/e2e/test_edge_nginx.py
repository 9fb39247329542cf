"""NGINX as the edge, run by `muniment edge run nginx`, in front of real nodes."""

from __future__ import annotations

from .harness.edge_fleet import TEXT, WRITE, EdgeFleet
from .harness.edge_suite import EdgeSuite


class TestNginx(EdgeSuite):
    """As every edge, and what NGINX does in its own way."""

    kind = "nginx"

    def test_nothing_is_lost_while_it_is_reloaded(self, fleet: EdgeFleet) -> None:
        """It closes idle connections when it is reloaded: a client on one of them sends again."""
        with fleet.load(again=True) as traffic:
            for number in range(4):
                fleet.limits = f"idle = {50 + number}"
                fleet.describe()
                fleet.wait_said("has loaded its files anew", number + 1)
                self._more(traffic.acknowledged, 50)
        assert not traffic.failed

    def test_the_cache_holds_entries_and_no_secret(self, fleet: EdgeFleet) -> None:
        with fleet.client() as client:
            receipt = client.post(WRITE, content=b"kept", headers=TEXT).json()
            path = f"/api/v1/logs/default/shards/{receipt['shard']}/entries/{receipt['first']}"
            for _ in range(4):
                self._entry(client, path)
            client.get(f"/tlog/default/{receipt['shard']}/checkpoint")
            client.get("/api/v1/logs")
        cached = [one for one in (fleet.directory / "run" / "cache").rglob("*") if one.is_file()]
        assert len(cached) == 1
        assert path.encode() in cached[0].read_bytes()
        assert fleet.token.encode() not in cached[0].read_bytes()
