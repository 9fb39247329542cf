"""What is wrong is found and named by `muniment verify`; what is right can be proved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .harness.cli import muniment
from .harness.server import LOG, MunimentServer


def write(server: MunimentServer, name: str, count: int) -> dict:
    return server.accepted(b"\n".join(b"%s %d" % (name.encode(), n) for n in range(count)))


@pytest.fixture
def written(muniment_server: MunimentServer, tmp_path: Path) -> MunimentServer:
    """A server that took 700 entries and was stopped; `older` is a copy from before the last."""
    write(muniment_server, "early", 300)
    muniment_server.stop()
    shutil.copytree(muniment_server.data, tmp_path / "older", symlinks=True)
    muniment_server.start()
    answer = write(muniment_server, "late", 400)
    (tmp_path / "receipt.json").write_text(json.dumps(answer))
    muniment_server.stop()
    return muniment_server


def test_an_intact_directory_and_a_live_server_verify(
    written: MunimentServer, tmp_path: Path
) -> None:
    trust = ["--trust", tmp_path / "receipt.json"]
    assert muniment("verify", written.data, *trust, cwd=tmp_path)[0] == 0
    written.start()
    assert muniment("verify", written.data, *trust, cwd=tmp_path)[0] == 0
    assert muniment("verify", written.url, *trust, cwd=tmp_path)[0] == 0
    status, printed = muniment("verify", written.data, "--json", cwd=tmp_path)
    assert (status, json.loads(printed)["intact"]) == (0, True)


def test_a_rollback_of_the_whole_directory_is_found_with_a_later_receipt(
    written: MunimentServer, tmp_path: Path
) -> None:
    shutil.rmtree(written.data)
    (tmp_path / "older").rename(written.data)

    assert muniment("verify", written.data, cwd=tmp_path)[0] == 0  # consistent in itself

    trust = ["--trust", tmp_path / "receipt.json"]
    status, printed = muniment("verify", written.data, *trust, cwd=tmp_path)
    assert status == 1, printed
    assert "700" in printed and "300" in printed, printed
    written.start()
    status, printed = muniment("verify", written.url, *trust, cwd=tmp_path)
    assert status == 1, printed


@pytest.mark.parametrize("pattern", ["logs/*/*/*.seg", "logs/*/*/checkpoints", "logs/*/*/tiles/1"])
def test_a_flipped_bit_is_found_and_its_file_named(
    written: MunimentServer, tmp_path: Path, pattern: str
) -> None:
    (path, *_) = sorted(written.data.glob(pattern))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.chmod(0o600)
    path.write_bytes(data)

    status, printed = muniment("verify", written.data, cwd=tmp_path)

    assert status == 1, printed
    assert str(path.relative_to(written.data)) in printed.replace("\n", ""), printed


def test_what_cannot_be_looked_at_is_no_verdict(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for target in (empty, tmp_path / "nowhere", "http://127.0.0.1:9/"):
        status, printed = muniment("verify", target, cwd=tmp_path)
        assert status == 2, (target, printed)


def test_a_proof_of_an_entry_is_checked_without_the_server(
    written: MunimentServer, tmp_path: Path
) -> None:
    written.start()
    shard = written.shard()
    proof, entry = tmp_path / "entry.tlog-proof", tmp_path / "entry"
    place = f"{LOG}/{shard['shard']}/650"
    status, printed = muniment("prove", place, "-o", proof, "--url", written.url, cwd=tmp_path)
    assert status == 0, printed
    entry.write_bytes(written.entry(650))
    written.stop()

    known = ["--entry", entry, "--key", shard["verifier"]]
    status, printed = muniment("check", proof, *known, cwd=tmp_path)
    assert status == 0, printed
    entry.write_bytes(entry.read_bytes() + b" ")
    status, printed = muniment("check", proof, *known, cwd=tmp_path)
    assert status == 1, printed
