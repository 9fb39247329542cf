"""The compose file, loaded by Compose's own loader, and what its containers would find in it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from muniment.edge import haproxy
from muniment.edge.description import load as load_description
from muniment.edge.renderers import NoBinary
from muniment.settings import Role, Settings, load
from tests.deploy.chart import ROOT
from tests.e2e.harness.programs import go_program
from tests.e2e.harness.s3_server import ACCESS_KEY, REGION, SECRET_KEY
from tests.e2e.harness.versitygw import versity_gateway

HERE = ROOT / "deploy" / "compose"
NODES = ("ingest1", "ingest2", "ingest3", "query1")
SHARED = "/etc/muniment/shared"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """What the file means, by the library that `docker compose config` is made of."""
    done = subprocess.run(
        [str(go_program("compose")), str(HERE / "compose.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        cwd=HERE,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def setup() -> Any:
    """The module `setup.py`."""
    spec = importlib.util.spec_from_file_location("compose_setup", HERE / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `setup` fills, without the buckets."""
    directory, own = tmp_path_factory.mktemp("shared"), tmp_path_factory.mktemp("authority")
    module = setup()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_ENDPOINT", "http://127.0.0.1:1")
        patch.setattr(module, "buckets", lambda endpoint: None)
        module.main(directory, own)
        before = {path: path.read_bytes() for path in directory.iterdir()}
        module.main(directory, own)  # a second start changes nothing
    assert before == {path: path.read_bytes() for path in directory.iterdir()}
    assert [path.name for path in own.iterdir()] == ["ca.key"]
    return directory


def node_settings(service: dict[str, Any], patch: pytest.MonkeyPatch) -> Settings:
    for name, value in service["environment"].items():
        patch.setenv(name, value)
    return load(config=HERE / "muniment.toml")


def test_compose_takes_it_and_has_no_defaults_for_secrets(project: dict[str, Any]) -> None:
    assert {*NODES, "edge", "s3", "setup", "folders"} == set(project["services"])
    for name, service in project["services"].items():
        secret = service.get("environment", {}).get("AWS_SECRET_ACCESS_KEY")
        assert (secret is not None) == (name in (*NODES, "setup"))


@pytest.mark.parametrize("name", NODES)
def test_a_node_loads_its_settings(
    name: str, project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = node_settings(project["services"][name], monkeypatch)
    assert settings.node == name
    assert settings.roles == (tuple(Role) if name == "query1" else (Role.INGEST,))
    assert settings.fleet is not None and settings.fleet.url == f"https://{name}:8470"
    grace = project["services"][name]["stop_grace_period"]
    assert grace == "1m0s" and settings.drain + 30 <= 60


def test_every_file_of_the_settings_is_made(
    shared: Path, project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = node_settings(project["services"]["ingest1"], monkeypatch)
    assert settings.fleet is not None and settings.wal is not None
    named = [
        settings.tls_certificate,
        settings.tls_key,
        settings.tls_client_ca,
        settings.tokens,
        settings.fleet.ca,
        settings.fleet.certificate,
        settings.fleet.key,
        settings.fleet.token,
        settings.wal.takeover_secret,
    ]
    for path in named:
        assert path is not None
        assert (shared / path.relative_to(SHARED)).is_file()
    secrets = [shared / name for name in ("edge.pem", "takeover", "fleet-token", "node.key")]
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


def test_nobody_but_setup_sees_the_key_of_the_authority(
    shared: Path, project: dict[str, Any]
) -> None:
    assert not (shared / "ca.key").exists()
    seen = {
        name
        for name, service in project["services"].items()
        if any(one.get("source") == "authority" for one in service.get("volumes", ()))
    }
    assert seen == {"setup", "folders"}


def test_haproxy_takes_the_configuration_of_the_edge(shared: Path, tmp_path: Path) -> None:
    text = (HERE / "edge.toml").read_text().replace(SHARED, str(shared))
    for node in NODES:  # names of containers are known among containers only
        text = text.replace(
            f'address = "{node}:8470"', f'address = "127.0.0.1:8470"\ntls_name = "{node}"'
        )
    path = tmp_path / "edge.toml"
    path.write_text(text)
    for name, content in haproxy.render(load_description(path)).items():
        (tmp_path / name).write_text(content)
    try:
        assert haproxy.check(tmp_path) is None
    except NoBinary:
        pytest.skip("HAProxy is not installed here")


@pytest.mark.parametrize("name", [*NODES, "edge"])
def test_containers_have_no_power(name: str, project: dict[str, Any]) -> None:
    service = project["services"][name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    published = service.get("ports", [])
    assert [one.get("host_ip") for one in published] == (["127.0.0.1"] if name == "edge" else [])


def test_the_environment_is_what_the_file_asks_for() -> None:
    given = dict(
        line.split("=", 1)
        for line in (HERE / ".env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert {"S3_ACCESS_KEY", "S3_SECRET_KEY"} <= set(given)
    assert yaml.safe_load((HERE / "compose.yaml").read_text())["name"] == "muniment"


def test_the_buckets_lock_or_must_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with versity_gateway(tmp_path) as gateway:
        for _ in range(2):  # a second start changes nothing
            setup().buckets(gateway.endpoint)
        client = boto3.client("s3", endpoint_url=gateway.endpoint)
        locked = client.get_object_lock_configuration(Bucket="evidence")
        assert locked["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"
        assert client.get_bucket_versioning(Bucket="evidence-wal").get("Status") != "Enabled"
