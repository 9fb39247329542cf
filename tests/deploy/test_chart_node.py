"""A node that starts with the settings that the chart renders, its files mounted as a kubelet does
it: its probes answer, and it stops in time."""

from __future__ import annotations

import os
import secrets
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from muniment.access.caller import Scope
from muniment.access.tokens import Tokens
from muniment.clock import SystemClock
from muniment.log.disk import PosixDisk
from muniment.up.authority import Authority
from muniment.up.places import Identity
from tests.deploy.chart import CHART, of_kind, rendered
from tests.e2e.harness.process import Process, free_port
from tests.e2e.harness.waiting import wait_for

NAME = "mun-muniment-nodes.evidence.svc"


def mounted(directory: Path, files: dict[str, bytes]) -> None:
    """Puts files where they can be changed all at once: names lead through `..data`."""
    held = directory / "..2026"
    held.mkdir(parents=True)
    (directory / "..data").symlink_to("..2026")
    for name, content in files.items():
        (held / name).write_bytes(content)
        (held / name).chmod(0o440)
        (directory / name).symlink_to(f"..data/{name}")


@pytest.fixture
def secrets_of(tmp_path: Path) -> Path:
    """The Secrets of the chart, below a directory instead of /etc/muniment."""
    disk, clock, made = PosixDisk(), SystemClock(), tmp_path / "made"
    made.mkdir()

    def identity(name: str) -> Identity:
        return Identity(made / f"{name}.crt", made / f"{name}.key")

    Authority.open(identity("ca"), disk=disk, clock=clock).issue("node", identity("tls"), [NAME])
    tokens = Tokens.open(made / "tokens", disk=disk, clock=clock, randomness=secrets.token_bytes)
    token = tokens.create("fleet", [Scope.READ])
    etc = tmp_path / "etc"
    mounted(etc / "tls", {n: (made / n).read_bytes() for n in ("tls.crt", "tls.key", "ca.crt")})
    mounted(
        etc / "tokens",
        {"tokens.json": (made / "tokens").read_bytes(), "fleet": f"{token}\n".encode()},
    )
    return etc


@pytest.fixture(params=["ingest", "query", "watch"])
def node(
    request: pytest.FixtureRequest, tmp_path: Path, secrets_of: Path
) -> Iterator[tuple[Process, int, int]]:
    port, probe = free_port(), free_port()
    (settings,) = of_kind(rendered(CHART / "ci" / "minimal.yaml"), "ConfigMap")
    text = settings["data"][f"{request.param}.toml"]
    for old, new in {
        "/etc/muniment": str(secrets_of),
        "/var/lib/muniment": str(tmp_path),
        "0.0.0.0:8470": f"127.0.0.1:{port}",
        "0.0.0.0:8471": f"127.0.0.1:{probe}",
        "drain = 10.0": "drain = 1.0",
        "drain = 5.0": "drain = 1.0",
    }.items():
        text = text.replace(old, new)
    path = tmp_path / "muniment.toml"
    path.write_text(text)
    env = {**os.environ, "MUNIMENT_NODE": "one-0", "MUNIMENT_FLEET": '{"url":"https://a:8470"}'}
    program = Path(sys.executable).with_name("muniment")
    process = Process([str(program), "serve", "--config", str(path)], tmp_path / "out.txt", env)
    try:
        process.wait_listening(probe)
        yield process, port, probe
    finally:
        process.end_group()


def test_its_probes_answer_and_strangers_get_nowhere(
    node: tuple[Process, int, int], secrets_of: Path
) -> None:
    process, port, probe = node

    def ready() -> bool:
        return httpx.get(f"http://127.0.0.1:{probe}/readyz", timeout=60).status_code == 200

    wait_for(ready, "the node to be ready")
    assert httpx.get(f"http://127.0.0.1:{probe}/healthz").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{probe}/metrics").status_code in (404, 405)

    trust = ssl.create_default_context(cafile=str(secrets_of / "tls" / "ca.crt"))
    trust.check_hostname = False
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://127.0.0.1:{port}/readyz", verify=trust)
    trust.load_cert_chain(secrets_of / "tls" / "tls.crt", secrets_of / "tls" / "tls.key")
    assert httpx.get(f"https://127.0.0.1:{port}/readyz", verify=trust).status_code == 200
    assert httpx.get(f"https://127.0.0.1:{port}/api/v1/tokens", verify=trust).status_code == 401
    assert process.stop() == 0
