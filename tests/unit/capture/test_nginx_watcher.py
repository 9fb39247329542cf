"""What is made of an NGINX's files, its pid file and its page of stub_status."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded_pages import Recorded, recorded

from muniment.capture.port import Observation
from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName
from muniment.capture.systems.nginx import Settings, watchers

MAIN = (
    "pid nginx.pid;\nhttp { include app*.conf; server { listen 1; ssl_certificate gone.pem; } }\n"
)
APP = "upstream app { server 10.0.0.1:80 weight=5; }\n"
PAGE = b"""Active connections: 2
server accepts handled requests
 7 7 %d
Reading: 0 Writing: 1 Waiting: 1
"""
Look = Callable[[], dict[str, Observation]]


def put(path: Path, text: str) -> None:
    """Writes a file as if long ago, so that nobody waits for it to settle."""
    path.write_text(text)
    long_ago = time.time() - 60
    os.utime(path, (long_ago, long_ago))


@pytest.fixture
def status() -> Iterator[Recorded]:
    with recorded({"/status": PAGE % 10}) as found:
        yield found


@pytest.fixture
def watch(tmp_path: Path, status: Recorded) -> Iterator[Look]:
    put(tmp_path / "nginx.conf", MAIN)
    put(tmp_path / "app.conf", APP)
    settings = Settings(
        name="edge",
        config=tmp_path / "nginx.conf",
        prefix=tmp_path,
        binary=tmp_path / "none",
        status=f"{status.url}/status",
    )
    (watcher,) = watchers(settings, redactor(b"k" * 32))
    yield lambda: {seen.scope: seen for seen in watcher.observe()}
    watcher.close()


def test_files_and_what_they_say_are_objects(watch: Look, tmp_path: Path) -> None:
    seen = watch()
    place = str(tmp_path).lstrip("/")
    names = {name for one in seen.values() for name in one.objects}
    assert names == {
        f"nginx:edge/file/{place}/nginx.conf",
        f"nginx:edge/file/{place}/app.conf",
        "nginx:edge/upstream/app",
        "nginx:edge/server/1/_",
        "nginx:edge/context/http",
        "nginx:edge/context/main",
        f"nginx:edge/certificate/{place}/gone.pem",
    }
    assert all(str(ObjectName.parse(name)) == name for name in names)
    upstream = seen["blocks"].objects["nginx:edge/upstream/app"]
    assert upstream.state == {"servers": {"10.0.0.1:80": {"weight": 5}}}
    assert upstream.where == {"backend": "app"}
    file = seen["files"].objects[f"nginx:edge/file/{place}/app.conf"]
    assert (file.state["text"], file.names) == (APP, [str(tmp_path / "app.conf")])
    gone = seen["certificates"].objects[f"nginx:edge/certificate/{place}/gone.pem"]
    assert gone.state == {"error": "No such file or directory"}


def test_what_does_not_run_has_no_workers_and_is_no_error(watch: Look) -> None:
    seen = watch()["workers"]
    assert (seen.objects, seen.error) == ({}, "")
    assert watch()["binary"].error
    assert "counters" not in watch()


def test_what_cannot_be_read_was_not_deleted(watch: Look, tmp_path: Path) -> None:
    watch()
    put(tmp_path / "app.conf", "upstream app {")
    seen = watch()
    assert not seen["files"].error
    assert {scope for scope, one in seen.items() if one.error} == {
        "blocks",
        "certificates",
        "binary",
    }
    (tmp_path / "app.conf").unlink()
    assert {scope for scope, one in watch().items() if one.error} == {"binary"}
    (tmp_path / "nginx.conf").unlink()
    assert {scope for scope, one in watch().items() if one.error} >= {"files", "blocks"}


def test_a_touched_file_is_the_same(watch: Look, tmp_path: Path) -> None:
    before = watch()
    put(tmp_path / "app.conf", APP)
    os.utime(tmp_path / "app.conf", (1, 1))
    after = watch()
    for scope in ("files", "blocks"):
        versions = [
            {k: v.version for k, v in one[scope].objects.items()} for one in (before, after)
        ]
        assert versions[0] == versions[1]


def test_own_looks_are_taken_off_the_count(
    watch: Look, status: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muniment.balancer.nginx_process import Running

    running = Running(7, 100, "7.101")
    monkeypatch.setattr("muniment.balancer.nginx_process.running", lambda _: running)
    counts: list[Any] = []
    for requests in (11, 12, 18):
        status.answers["/status"] = PAGE % requests
        (counter,) = watch()["counters"].counters
        counts.append(counter.served)
        assert counter.epoch.startswith("7 started 100")
    assert counts == [10, 10, 15]
    status.answers["/status"] = b"nginx"
    assert watch()["counters"].error
    workers = watch()["workers"].objects["nginx:edge/process/workers"]
    assert workers.state == {"master": 7, "generation": "7.101"}


def test_a_configuration_that_is_written_just_now_is_waited_for(
    watch: Look, tmp_path: Path
) -> None:
    (tmp_path / "app.conf").write_text(APP.replace("5", "6"))
    upstream = watch()["blocks"].objects["nginx:edge/upstream/app"]
    assert upstream.state["servers"] == {"10.0.0.1:80": {"weight": 6}}
    assert time.time() >= (tmp_path / "app.conf").stat().st_mtime + 0.2
