"""A spike of many times the usual rate: absorbed, or refused in words that clients understand."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import pytest

from .harness import cluster_load
from .harness.cluster import Cluster, cluster, edges
from .harness.cluster_check import assert_in_the_log, assert_indexed, assert_promises_kept
from .harness.cluster_load import load
from .harness.server import LOG
from .harness.writers import Kept, Sent

SECONDS = float(os.environ.get("MUNIMENT_TEST_SPIKE_SECONDS", "15"))
CLIENTS = 32
USUAL_PAUSE = 0.25
"""Seconds between the requests of a usual writer: a spike is to be many times that."""

TAKEN, REFUSED = 201, (429, 503)


@dataclass
class Spike:
    """Clients that send as fast as they can, and try nothing again."""

    cluster: Cluster
    answers: Counter[str] = field(default_factory=Counter)
    kept: list[Kept] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Sends for so long."""
        deadline = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._send, args=(number, deadline), daemon=True)
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 60)
            assert not thread.is_alive()

    def _send(self, number: int, deadline: float) -> None:
        sent = 0
        with self.cluster.client(timeout=20) as client:
            while time.monotonic() < deadline:
                sent += 1
                one = Sent([f"SPIKE{number} {sent}".encode()], f"spike-{number}-{sent}")
                try:
                    self._take(one, one.post(client))
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1

    def _take(self, sent: Sent, answer: httpx.Response) -> None:
        self.answers[str(answer.status_code)] += 1
        if answer.status_code == TAKEN:
            self.kept.append(Kept(sent, answer.json()))
        elif answer.status_code not in REFUSED or "retry-after" not in answer.headers:
            self.strange.append(f"{answer.status_code} {dict(answer.headers)} {answer.text[:200]}")


@pytest.mark.parametrize("edge", edges("haproxy"))
def test_a_spike_is_taken_or_refused_and_is_over_when_it_is_over(
    edge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_load, "PAUSE", USUAL_PAUSE)
    with cluster(edge=edge) as fleet:
        fleet.start()
        with load(fleet) as clients:
            before, began = len(clients.kept), time.monotonic()
            time.sleep(5)
            usual = (len(clients.kept) - before) / (time.monotonic() - began)
            spike = Spike(fleet)
            spike.run(SECONDS)
            recovered = clients.wait_more()
            clients.finish()
            offered = spike.answers.total() / SECONDS
            print(
                f"\nbehind {edge}: {offered:,.0f} requests/s for {SECONDS:.0f} s, "
                f"{offered / usual:.1f} times the usual {usual:.0f}: {dict(spike.answers)}; "
                f"all were answered again {recovered:.1f} s after it; {clients.told('beside it')}"
            )
        assert spike.strange == []
        assert spike.kept, "nothing of the spike was taken"
        assert not [name for name in spike.answers if not name.isdigit()], spike.answers
        assert_in_the_log(fleet, spike.kept)
        assert_each_once(fleet, spike)
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0


def assert_each_once(fleet: Cluster, spike: Spike) -> None:
    """What was taken of the spike is in the index once; what was refused is not there."""
    statement = (
        f"SELECT count(*), count(DISTINCT raw_data) FROM \"{LOG}\" WHERE raw_data LIKE 'SPIKE%'"
    )
    assert_indexed(fleet, statement, [[len(spike.kept)] * 2])
