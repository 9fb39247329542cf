"""Envoy as the edge, run by `muniment edge run envoy`, in front of real nodes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .harness.attacks_edges import attacked
from .harness.edge_suite import EdgeSuite
from .harness.process import free_port
from .harness.server import serving
from .harness.waiting import wait_for


class TestEnvoy(EdgeSuite):
    """As every edge."""

    kind = "envoy"

    @pytest.fixture(autouse=True)
    def _beside_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The PyPI package puts Envoy there."""
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def test_its_own_log_comes_to_muniment(tmp_path: Path) -> None:
    """By Envoy's access log service: each request once, with what it was answered."""
    port = free_port()
    listener = f'[[receive]]\nprotocol = "grpc"\nlisten = "127.0.0.1:{port}"\nlog = "default"\n'
    (tmp_path / "edge").mkdir()
    own_log = {"to": f"127.0.0.1:{port}"}
    with (
        serving(tmp_path, config=listener) as muniment,
        attacked("envoy", tmp_path / "edge", own_log=own_log) as edge,
    ):
        for number in range(20):
            edge.client().ask("GET", f"/api/v1/logs/default/search?q=own{number}")

        def rows() -> list[str]:
            found = [row["raw_data"] for row in muniment.rows("source:envoy")]
            return [one for one in found if "q=own" in one]

        wait_for(lambda: len(rows()) >= 20, lambda: f"20 lines, {len(rows())} so far")
        assert len(rows()) == 20
