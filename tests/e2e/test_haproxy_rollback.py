"""A real HAProxy is put back under traffic: servers, maps, certificates, configuration files."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.capture.systems.haproxy import Settings
from muniment.rollback.haproxy import applier
from muniment.rollback.port import Applier, ApplyFailed, CannotRollBack

from .harness.agent import Agent
from .harness.certificate import write_certificate
from .harness.cli import muniment
from .harness.haproxy_runtime import PASSWORD, RuntimeHAProxy, Traffic, runtime_haproxy
from .harness.load import ab, exchange, request
from .harness.process import free_port
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

REQUESTS = 3_000


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeHAProxy]:
    with runtime_haproxy(tmp_path_factory.mktemp("rollback"), free_port()) as found:
        yield found


@pytest.fixture
def applying(haproxy: RuntimeHAProxy) -> Applier:
    settings = Settings.model_validate(
        {
            "name": "edge",
            "socket": haproxy.address,
            "files": [f"{haproxy.directory}/*.cfg", f"{haproxy.directory}/*.map"],
            "pid_file": f"{haproxy.directory}/haproxy.pid",
            "reload_seconds": 20,
        }
    )
    return applier(settings, redactor(b"k" * 32))


@pytest.fixture
def back(haproxy: RuntimeHAProxy, applying: Applier) -> Iterator[Applier]:
    """The applier, under traffic of which no request may fail."""
    with Traffic(haproxy.ports["web"]) as traffic:
        yield applying
        wait_for(lambda: traffic.done, "traffic")
    assert traffic.failed == []


def name_of(own: str) -> ObjectName:
    return ObjectName.parse(f"haproxy:edge/{own}")


def live(back: Applier, own: str) -> Snapshot:
    found = back.live(name_of(own))
    assert found is not None
    return found


def put_back(back: Applier, own: str, act: Callable[[], object]) -> list[str]:
    """Changes an object, puts it back, and makes sure that nothing is left to do."""
    name, wanted = name_of(own), back.live(name_of(own))
    act()
    changed = back.live(name)
    assert changed != wanted
    state = wanted.state if wanted is not None else None
    steps = back.plan(name, changed, state)
    assert steps
    back.apply(steps)
    again = back.live(name)
    assert back.plan(name, again, state) == ()
    assert again is None or again.state == state
    return [step.does for step in steps]


def test_servers(haproxy: RuntimeHAProxy, back: Applier) -> None:
    assert put_back(back, "server/app/w1", lambda: haproxy.ask("set server app/w1 weight 7")) == [
        "set server app/w1 weight 100"
    ]
    acts = put_back(
        back,
        "server/spare/s1",
        lambda: [
            haproxy.ask("set server spare/s1 addr 127.0.0.2 port 81"),
            haproxy.ask("set maxconn server spare/s1 9"),
            haproxy.ask("set server spare/s1 state maint"),
        ],
    )
    assert [act.split(" spare/s1 ")[1].split()[0] for act in acts] == ["addr", "0", "state"]
    put_back(back, "server/app/w2", lambda: haproxy.ask("set server app/w2 state drain"))


def test_servers_come_and_go(haproxy: RuntimeHAProxy, back: Applier) -> None:
    add = "add server spare/s9 127.0.0.1:9 weight 7 maxconn 3"
    acts = put_back(back, "server/spare/s9", lambda: haproxy.ask(add))
    assert acts == ["del server spare/s9"]
    haproxy.ask(add)
    haproxy.ask("set server spare/s9 state ready")
    acts = put_back(
        back,
        "server/spare/s9",
        lambda: [
            haproxy.ask("set server spare/s9 state maint"),
            haproxy.ask("del server spare/s9"),
        ],
    )
    assert acts == [add, "set server spare/s9 state ready"]
    name = name_of("server/spare/s9")
    acts = [step.does for step in back.plan(name, back.live(name), None)]
    assert acts == ["set server spare/s9 state maint", "del server spare/s9"]
    back.apply(back.plan(name, back.live(name), None))


def test_frontends_and_the_process(haproxy: RuntimeHAProxy, back: Applier) -> None:
    put_back(back, "frontend/web", lambda: haproxy.ask("set maxconn frontend web 77"))
    put_back(back, "frontend/quiet", lambda: haproxy.ask("disable frontend quiet"))
    put_back(
        back,
        "process/settings",
        lambda: [
            haproxy.ask("set maxconn global 111"),
            haproxy.ask("set rate-limit sessions global 5000"),
            haproxy.ask("set rate-limit http-compression global 50"),
        ],
    )


def test_maps_and_acls(haproxy: RuntimeHAProxy, back: Applier) -> None:
    path = f"{haproxy.directory}/paths.map"
    put_back(
        back,
        f"map{path}",
        lambda: [
            haproxy.ask(f"set map {path} /spare app"),
            haproxy.ask(f"add map {path} /more a\\ b"),
        ],
    )
    assert exchange(haproxy.ports["web"], request("/spare")).status == 200
    path = f"{haproxy.directory}/blocked.acl"
    put_back(back, f"acl{path}", lambda: haproxy.ask(f"clear acl {path}"))
    put_back(back, "acl/2", lambda: haproxy.ask("add acl #2 /never\\ more"))


def test_a_certificate_comes_back_from_the_file_alone(
    haproxy: RuntimeHAProxy, back: Applier, tmp_path: Path
) -> None:
    path = haproxy.directory / "edge.pem"
    other = write_certificate(tmp_path).read_text().replace("\n\n", "\n")

    def rotate() -> None:
        haproxy.ask(f"set ssl cert {path} <<\n{other}\n")
        assert "Success" in haproxy.ask(f"commit ssl cert {path}")

    put_back(back, f"certificate{path}", rotate)
    port = haproxy.ports["secure"]
    assert exchange(port, request("/"), trust=path).status == 200

    wanted = live(back, f"certificate{path}").state
    rotate()
    kept = path.read_text()
    path.write_text(other)
    name = name_of(f"certificate{path}")
    with pytest.raises(CannotRollBack, match="keys are never captured"):
        back.plan(name, back.live(name), wanted)
    path.write_text(kept)
    back.apply(back.plan(name, back.live(name), wanted))


def test_a_configuration_is_put_back_with_its_secrets(
    haproxy: RuntimeHAProxy, back: Applier
) -> None:
    own, text = f"file{haproxy.config}", haproxy.config.read_text()
    haproxy.config.chmod(0o640)
    assert PASSWORD not in str(live(back, own).state)

    def edit() -> None:
        haproxy.config.write_text(text.replace("weight 50", "weight 5"))
        haproxy.config.chmod(0o644)
        haproxy.reload()

    pid = haproxy.info("Pid")
    acts = put_back(back, own, edit)

    assert len(acts) == 2
    assert acts[1] == f"chmod 0640 {haproxy.config}"
    assert haproxy.config.read_text() == text
    assert haproxy.info("Pid") != pid
    assert live(back, "server/app/w2").state["weight"] == 50
    assert list(haproxy.directory.glob(".*muniment*")) == []


def test_a_secret_that_is_gone_is_not_made_up(haproxy: RuntimeHAProxy, back: Applier) -> None:
    own, text = f"file{haproxy.config}", haproxy.config.read_text()
    wanted = live(back, own).state
    haproxy.config.write_text(text.replace(PASSWORD, "another"))
    with pytest.raises(CannotRollBack, match="1 secrets that are not in the file"):
        back.plan(name_of(own), back.live(name_of(own)), wanted)
    haproxy.config.write_text(text)


def test_what_haproxy_refuses_changes_nothing(haproxy: RuntimeHAProxy, back: Applier) -> None:
    own, text = f"file{haproxy.config}", haproxy.config.read_text()
    now = live(back, own)
    wrong = {"text": str(now.state["text"]).replace("balance roundrobin", "balance nonsense")}
    with pytest.raises(CannotRollBack, match="HAProxy would refuse it") as refused:
        back.plan(name_of(own), now, wrong)
    assert PASSWORD not in str(refused.value)
    assert haproxy.config.read_text() == text


def test_a_file_that_does_not_load_is_taken_back(
    haproxy: RuntimeHAProxy, applying: Applier
) -> None:
    """`haproxy -c` binds no socket: that an address is not of this host is seen by the reload.

    HAProxy itself then stops listening for a moment, so there is no traffic here.
    """
    own, text = f"file{haproxy.config}", haproxy.config.read_text()
    pid = haproxy.info("Pid")
    now = live(applying, own)
    state = str(now.state["text"]).replace(
        f"bind 127.0.0.1:{haproxy.ports['quiet']}", "bind 192.0.2.254:1"
    )
    steps = applying.plan(name_of(own), now, {"text": state})
    with pytest.raises(ApplyFailed, match="the old file is back"):
        applying.apply(steps)
    assert haproxy.config.read_text() == text

    def loaded_again() -> bool:
        with suppress(OSError, KeyError):
            return haproxy.info("Pid") != pid
        return False

    wait_for(loaded_again, "the old configuration to be loaded again")


@contextmanager
def loaded(port: int) -> Iterator[list[int]]:
    """ApacheBench at work until the end; each of its requests must succeed."""
    done: list[int] = []
    failures: list[BaseException] = []
    ending = threading.Event()

    def work() -> None:
        try:
            while not ending.is_set() or not done:
                done.append(ab(f"http://127.0.0.1:{port}/ab", REQUESTS))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        ending.set()
        thread.join(120)
    assert not failures, failures


@pytest.fixture
def log(haproxy: RuntimeHAProxy, tmp_path: Path) -> Iterator[tuple[MunimentServer, Agent]]:
    with serving(tmp_path) as server:
        sections = f"""
            [[haproxy]]
            name = "edge"
            socket = "{haproxy.address}"
            files = ["{haproxy.config}"]
            pid_file = "{haproxy.directory}/haproxy.pid"
            every = 0.3
        """
        agent = Agent(tmp_path / "agent", server.url, sections)
        try:
            agent.start()
            yield server, agent
        finally:
            agent.close()


def versions(server: MunimentServer, own: str) -> list[dict[str, object]]:
    answer = server.http.get(
        "/api/v1/logs/default/history", params={"object": f"haproxy:edge/{own}"}
    )
    return list(answer.json()["versions"]) if answer.status_code == 200 else []


def test_the_command_puts_a_weight_and_a_configuration_back_with_no_failed_request(
    haproxy: RuntimeHAProxy, log: tuple[MunimentServer, Agent], tmp_path: Path
) -> None:
    server, agent = log
    file, text = f"file{haproxy.config}", haproxy.config.read_text()
    wait_for(lambda: versions(server, file), "the first version of the file")

    def roll_back(own: str) -> None:
        wait_for(lambda: len(versions(server, own)) == 2, f"the second version of {own}")
        options = [
            "--to",
            "1",
            "--config",
            agent.config,
            "--yes",
            "--reason",
            "test",
        ]
        status, said = muniment(
            "rollback", f"haproxy:edge/{own}", *options, "--url", server.url, cwd=tmp_path
        )
        assert status == 0, said
        assert "is back at version 1" in said

    with loaded(haproxy.ports["web"]) as done:
        haproxy.ask("set server app/w1 weight 3")
        roll_back("server/app/w1")
        assert live_weight(haproxy, "w1") == "100"
        haproxy.config.write_text(text.replace("maxconn 300", "maxconn 200"))
        haproxy.reload()
        roll_back(file)
        assert haproxy.config.read_text() == text
    assert sum(done) >= REQUESTS

    actions = [
        (event["action"], event["resource"])
        for header, event in map(opened, server.stored())
        if header["as"] == "muniment" and str(event.get("action", "")).startswith("rollback.")
    ]
    assert actions == [
        (f"rollback.{action}", f"haproxy:edge/{own}")
        for own in ("server/app/w1", file)
        for action in ("apply", "done")
    ]


def live_weight(haproxy: RuntimeHAProxy, server: str) -> str:
    return haproxy.ask(f"get weight app/{server}").split()[0]


def opened(entry: bytes) -> tuple[dict[str, object], dict[str, object]]:
    header, raw = split_entry(entry)
    return json.loads(header), json.loads(raw)
