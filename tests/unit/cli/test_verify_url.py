"""`muniment verify URL`: the exit code, the report, and the key that is trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muniment.log.note import Signer
from muniment.trust import remote

from .conftest import Run
from .fake_server import Answer, FakeServer
from .signed_log import SignedLog, filled


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PUBLISH_SECONDS", 0)


@pytest.fixture(autouse=True)
def entries(fake: FakeServer) -> None:
    fake.log.entries = filled(700).entries


def test_a_server_is_verified_and_its_key_remembered(
    run: Run, fake: FakeServer, url: str, home: Path
) -> None:
    result = run("verify", url + "/")
    assert result.exit_code == 0, result.output
    assert f"{fake.log.origin}: intact" in result.output
    assert (home / "config/muniment/known_keys").read_text() == f"{fake.log.signer.verifier}\n"
    fake.log.signer = Signer(fake.log.origin, b"another key of thirty-two bytes!")
    result = run("verify", url)
    assert result.exit_code == 1
    assert "the trusted one is" in result.output


def test_one_shard_is_verified_by_its_own_address(run: Run, fake: FakeServer, url: str) -> None:
    result = run("verify", f"{url}/tlog/default/0a1b2c3d", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0 and found["intact"] is True
    (shard,) = found["shards"]
    assert (shard["origin"], shard["size"]) == (fake.log.origin, 700)
    assert run("verify", f"{url}/tlog/default/ffffffff").exit_code == 2


def test_tampering_is_exit_code_1_and_named(run: Run, fake: FakeServer, url: str) -> None:
    bundle = fake.log.bundle(1, 256)
    assert bundle is not None
    fake.routes["/tlog/.*/tile/entries/001"] = lambda _request: Answer(200, bundle[:-1] + b"X")
    result = run("verify", url)
    assert result.exit_code == 1
    assert "tlog/default/0a1b2c3d/tile/0/001" in result.output
    assert "NOT INTACT" in result.output
    found = json.loads(run("verify", url, "--json").stdout)
    assert found["intact"] is False and found["findings"]


def test_receipts_are_compared(run: Run, fake: FakeServer, url: str, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps({"receipt": filled(900).checkpoint()}))
    result = run("verify", url, "--trust", receipt)
    assert result.exit_code == 1 and "900" in result.output
    receipt.write_text(filled(600).checkpoint())
    assert run("verify", url, "--trust", receipt).exit_code == 0
    receipt.write_text("nonsense")
    assert run("verify", url, "--trust", receipt).exit_code == 2
    elsewhere = SignedLog(shard="ffffffff")
    elsewhere.entries = [b"x"]
    receipt.write_text(elsewhere.checkpoint())
    gone = run("verify", url, "--trust", receipt)
    assert gone.exit_code == 1 and "of which a checkpoint was kept" in gone.output


def test_a_key_that_is_given_decides(run: Run, fake: FakeServer, url: str) -> None:
    assert run("verify", url, "--key", str(fake.log.signer.verifier)).exit_code == 0
    other = Signer(fake.log.origin, b"another key of thirty-two bytes!")
    assert run("verify", url, "--key", str(other.verifier)).exit_code == 1
    elsewhere = Signer("elsewhere", b"another key of thirty-two bytes!")
    assert run("verify", url, "--key", str(elsewhere.verifier)).exit_code == 2


def test_a_log_of_others_is_verified_with_its_key(run: Run, fake: FakeServer, url: str) -> None:
    """Any C2SP tlog-tiles log, below any prefix."""

    def tile(request: object) -> Answer:
        return fake._tile(request.path.removeprefix("/2026h1/"))  # type: ignore[attr-defined]

    fake.routes["/2026h1/(checkpoint|tile/.*)"] = tile
    unknown = run("verify", f"{url}/2026h1")
    assert unknown.exit_code == 2 and "--key" in unknown.output
    key = str(fake.log.signer.verifier)
    assert run("verify", f"{url}/2026h1", "--key", key).exit_code == 0


def test_a_network_that_fails_is_no_verdict(run: Run, fake: FakeServer, url: str) -> None:
    assert run("verify", "http://127.0.0.1:9/").exit_code == 2
    busy = Answer.problem(503, "unavailable", "not now")
    busy.headers["retry-after"] = "0"
    fake.routes["/tlog/.*/tile/0/001"] = lambda _request: busy
    result = run("verify", url)
    assert result.exit_code == 2 and "not now" in result.output
