"""A file of a real NGINX is put back under traffic: checked, loaded, and no request fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.rollback.nginx import NginxApplier, applier
from muniment.rollback.port import ApplyFailed, CannotRollBack

from .harness.agent import Agent
from .harness.cli import muniment
from .harness.server import serving
from .harness.waiting import wait_for
from .test_nginx_changes import Edge, edge_in, traffic


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with edge_in(tmp_path) as found:
        yield found


@pytest.fixture
def back(edge: Edge) -> NginxApplier:
    return applier(edge.settings, redactor(b"k" * 32))


def name_of(edge: Edge, file: str = "sites/app.conf") -> ObjectName:
    return ObjectName.parse(edge.object(file))


def live(back: NginxApplier, name: ObjectName) -> Snapshot:
    found = back.live(name)
    assert found is not None
    return found


def left_behind(edge: Edge) -> list[Path]:
    return list(edge.directory.rglob("*muniment-*"))


def test_a_file_is_put_back_and_loaded_without_a_failed_request(
    edge: Edge, back: NginxApplier
) -> None:
    name, bytes_before = name_of(edge), edge.site.read_bytes()
    edge.site.chmod(0o640)
    wanted = live(back, name)
    with traffic(f"http://127.0.0.1:{edge.web}/") as seen:
        edge.edit(
            "location / { proxy_pass", "location /other { return 204; }\n  location / { proxy_pass"
        )
        edge.reload()
        asked = httpx.get(f"http://127.0.0.1:{edge.web}/other")
        assert asked.status_code == 204

        (step,) = back.plan(name, live(back, name), wanted.state)
        assert str(edge.site) in step.does and "nginx -t" in step.does and step.undo
        workers = edge.workers()
        answers = back.apply([step])

        assert any("passed" in answer for answer in answers)
        wait_for(lambda: not edge.workers() & workers, "the old workers to end")
        assert httpx.get(f"http://127.0.0.1:{edge.web}/other").status_code == 200
        more = len(seen) + 50
        wait_for(lambda: len(seen) > more, "more answers")
    assert set(seen) == {200}
    assert edge.site.read_bytes() == bytes_before  # with the secret that was never captured
    assert edge.site.stat().st_mode & 0o777 == 0o640
    assert back.plan(name, live(back, name), wanted.state) == ()
    assert left_behind(edge) == []


def test_what_nginx_refuses_is_not_planned_and_changes_nothing(
    edge: Edge, back: NginxApplier
) -> None:
    name, before = name_of(edge), edge.site.read_bytes()
    text = str(live(back, name).state["text"])
    for wrong in (
        text.replace("server_name", "sever_name"),
        text + "}",
        text.replace("app;", "ap;"),
    ):
        with pytest.raises(CannotRollBack):
            back.plan(name, live(back, name), {"text": wrong})
    assert edge.site.read_bytes() == before
    assert left_behind(edge) == []


def test_a_file_that_has_moved_since_the_plan_is_left_alone(edge: Edge, back: NginxApplier) -> None:
    name, wanted = name_of(edge), live(back, name_of(edge))
    edge.edit("weight=100", "weight=50")
    steps = back.plan(name, live(back, name), wanted.state)
    edge.edit("weight=50", "weight=7")
    with pytest.raises(ApplyFailed, match="changed by others"):
        back.apply(steps)
    assert "weight=7" in edge.site.read_text()
    assert left_behind(edge) == []


def test_what_loads_no_more_is_taken_back(
    edge: Edge, back: NginxApplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all that fails is seen by `nginx -t`, which is not asked here."""
    monkeypatch.setattr("muniment.rollback.nginx.RELOAD_SECONDS", 3.0)
    monkeypatch.setattr(NginxApplier, "_check", lambda *_: "not asked")
    name, before = name_of(edge), edge.site.read_bytes()
    wrong = str(live(back, name).state["text"]).replace("proxy_pass", "proxy_past")
    with traffic(f"http://127.0.0.1:{edge.web}/") as seen:
        steps = back.plan(name, live(back, name), {"text": wrong})
        with pytest.raises(ApplyFailed, match="the old file is back"):
            back.apply(steps)
    assert edge.site.read_bytes() == before
    assert set(seen) == {200}
    edge.reload()


def test_a_removed_file_comes_back_and_an_added_one_goes(edge: Edge, back: NginxApplier) -> None:
    more = edge.site.with_name("more.conf")
    name = name_of(edge, "sites/more.conf")
    assert back.live(name) is None
    more.write_text("server { listen 127.0.0.1:1; return 204; }\n".replace("1:1", f"1:{edge.web}"))
    was = live(back, name)
    back.apply(back.plan(name, was, None))
    assert not more.exists()
    back.apply(back.plan(name, back.live(name), was.state))
    assert live(back, name).version == was.version


def test_what_cannot_be_put_back_is_refused(edge: Edge, back: NginxApplier) -> None:
    name = name_of(edge)
    now = live(back, name)
    view = ObjectName.parse("nginx:edge/upstream/app")
    with pytest.raises(CannotRollBack, match="view of files"):
        back.live(view)
    edge.edit("c2VjcmV0", "cm90YXRlZA==")
    with pytest.raises(CannotRollBack, match="secret"):
        back.plan(name, live(back, name), now.state)
    outside = ObjectName.parse(f"nginx:edge/file/{str(edge.directory / 'elsewhere').lstrip('/')}")
    with pytest.raises(CannotRollBack, match="nothing includes it"):
        back.plan(outside, None, {"text": "user nobody;\n"})
    with pytest.raises(CannotRollBack, match="plain path"):
        back.live(ObjectName.parse("nginx:edge/file/etc/../x"))
    with pytest.raises(CannotRollBack, match="main file"):
        back.plan(name_of(edge, "nginx.conf"), None, None)


def test_the_whole_way_from_an_edit_to_the_records_of_its_undoing(
    edge: Edge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("muniment")
    section = "\n".join(
        [
            '[[nginx]]\nname = "edge"\nevery = 0.2',
            *(
                f'{key} = "{getattr(edge.settings, key)}"'
                for key in ("config", "prefix", "binary", "status")
            ),
        ]
    )
    name, before = edge.object("sites/app.conf"), edge.site.read_bytes()
    with serving(directory) as server:
        agent = Agent(directory / "agent", server.url, section)
        agent.start()
        try:
            place = "/api/v1/logs/default/history"

            def versions(count: int) -> list[dict[str, object]]:
                answer = server.http.get(place, params={"object": name})
                found = answer.json()["versions"] if answer.is_success else []
                return found if len(found) >= count else []

            wait_for(lambda: versions(1), "the first version")
            edge.edit("weight=100", "weight=50")
            wait_for(lambda: versions(2), "the second version")
            with traffic(f"http://127.0.0.1:{edge.web}/") as seen:
                words = ("rollback", name, "--to", 1, "--config", agent.config, "--yes")
                status, printed = muniment(*words, "--url", server.url, cwd=directory)
                assert status == 0, printed
            assert set(seen) == {200}
            assert edge.site.read_bytes() == before
            third = wait_for(lambda: versions(3), "the third version")
            assert [one["change"] for one in third] == ["update", "update", "observe"]
            assert third[0]["version"] == third[2]["version"]
            server.wait_indexed()
            records = list(server.rows("action:rollback.*"))
            assert sorted(row["api"]["operation"] for row in records) == [
                "rollback.apply",
                "rollback.done",
            ]
        finally:
            agent.close()
