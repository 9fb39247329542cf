"""A server of a real HAProxy is sent astray through its socket: what, when, and what came of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness.agent import Agent
from .harness.haproxy_runtime import RuntimeHAProxy, Traffic, runtime_haproxy
from .harness.server import MunimentServer, serving
from .harness.waiting import wait_for

NAME = "haproxy:edge/server/app/w1"


def test_a_server_sent_astray_is_explained(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as muniment,
        runtime_haproxy(tmp_path, muniment.syslog_port) as haproxy,
    ):
        sections = f'[[haproxy]]\nname = "edge"\nsocket = "{haproxy.address}"\nevery = 0.3\n'
        agent = Agent(tmp_path / "agent", muniment.url, sections)
        agent.start()
        try:
            seen(muniment, 1)
            with Traffic(haproxy.ports["web"]) as traffic:
                wait_for(lambda: traffic.done > 300, "traffic that goes well")
                assert not traffic.failed
                with nobody() as port:
                    send_astray(haproxy, port)
                    wait_for(lambda: len(traffic.failed) > 200, "requests that fail")
            history = seen(muniment, 2)
        finally:
            agent.close()
        check_history(muniment, history)
        check_explained(muniment, history["versions"][0]["entry"])


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """A port where connections are taken and closed at once, without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def send_astray(haproxy: RuntimeHAProxy, port: int) -> None:
    answer = haproxy.ask(f"set server app/w1 addr 127.0.0.1 port {port}")
    assert "changed" in answer, answer


def seen(muniment: MunimentServer, versions: int) -> Any:
    def known() -> Any:
        answer = muniment.http.get("/api/v1/logs/default/history", params={"object": NAME})
        found = answer.json()
        return found if answer.status_code == 200 and found["total"] >= versions else None

    return wait_for(known, f"{versions} versions of {NAME}")


def check_history(muniment: MunimentServer, history: Any) -> None:
    latest = history["versions"][0]
    assert (latest["number"], latest["change"], latest["agent"]) == (2, "update", "lb1")
    assert latest["fault"] == ""
    made = muniment.get("/api/v1/logs/default/diff", object=NAME)
    assert [field["path"] for field in made["fields"]] == [f["path"] for f in latest["fields"]]
    assert any("127.0.0.1" in str(field) or "port" in field["path"] for field in made["fields"])
    blamed = muniment.get("/api/v1/logs/default/blame", object=NAME, limit=1)["versions"][0]
    assert not any(item["certain"] for item in blamed["evidence"])
    assert "evidence of who: changed" in blamed["conclusion"]


def check_explained(muniment: MunimentServer, entry: Any) -> None:
    muniment.wait_indexed()
    made = muniment.get("/api/v1/logs/default/explain", object=NAME, window=60)
    rise = made["errors"]["rise"]
    assert rise["errors"] > 20
    assert {"backend": "app", "server": "w1", "status": 502}.items() <= rise["where"][0].items()
    update = next(item for item in made["timeline"] if item["entry"] == entry)
    assert update["joins"] == [{"to": "effect", "by": "server w1"}]
    assert any("errors rose at server w1" in line for line in made["summary"])
