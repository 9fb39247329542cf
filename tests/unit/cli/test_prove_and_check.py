"""`prove` writes what holds and nothing else; `check` needs nothing but the file and a key."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from muniment.log.note import Signer

from .conftest import Run
from .fake_server import HEADER, Answer, FakeServer
from .signed_log import SignedLog

PLACE = "default/0a1b2c3d/5"


@pytest.fixture(autouse=True)
def entries(fake: FakeServer) -> None:
    fake.log.entries = [HEADER + b"line %d\xff" % n for n in range(300)]


@pytest.fixture
def proof(run: Run, url: str, tmp_path: Path) -> Path:
    """A proof with its entry in it; the log's key is remembered."""
    path = tmp_path / "p.tlog-proof"
    assert run("prove", PLACE, "-o", path, "--url", url).exit_code == 0
    return path


def known_keys(home: Path) -> Path:
    return home / "config" / "muniment" / "known_keys"


def test_the_file_alone_is_enough(run: Run, proof: Path, fake: FakeServer, home: Path) -> None:
    lines = proof.read_text().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(fake.log.entries[5]).decode()
    assert lines[2] == "index 5"
    assert proof.read_text().endswith("\n\n" + fake.log.checkpoint())
    assert known_keys(home).read_text() == f"{fake.log.signer.verifier}\n"

    result = run("check", proof)
    assert result.exit_code == 0, result.output
    for text in (fake.log.origin, "index   5", "size    300", "line 5\\xff", "via     http"):
        assert text in result.output


def test_check_as_json(run: Run, proof: Path, fake: FakeServer) -> None:
    found = json.loads(run("check", proof, "--json").stdout)
    assert found["holds"] is True
    assert (found["origin"], found["index"], found["size"]) == (fake.log.origin, 5, 300)
    assert base64.b64decode(found["raw_base64"]) == b"line 5\xff"
    assert found["header"]["as"] == "text"


def test_a_proof_without_entry_is_checked_with_the_entry_file(
    run: Run, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    proof, entry = tmp_path / "p", tmp_path / "e"
    run("prove", PLACE, "-o", proof, "--no-entry", "--entry-out", entry, "--url", url)
    assert "extra" not in proof.read_text()
    assert entry.read_bytes() == fake.log.entries[5]
    assert run("check", proof, "--entry", entry).exit_code == 0
    missing = run("check", proof)
    assert missing.exit_code == 2 and "--entry" in missing.output
    entry.write_bytes(entry.read_bytes() + b" ")
    assert run("check", proof, "--entry", entry).exit_code == 1


def test_another_entry_than_the_one_in_the_proof_does_not_hold(
    run: Run, proof: Path, tmp_path: Path
) -> None:
    (tmp_path / "e").write_bytes(b"another")
    assert run("check", proof, "--entry", tmp_path / "e").exit_code == 1


def test_no_character_of_a_proof_can_be_changed(run: Run, proof: Path) -> None:
    """Exit code 2 is for a file that is no proof, or of a log whose key is not known."""
    text = proof.read_text()
    head, _, note = text.partition("\n\n")
    origin = note.split("\n")[0]
    no_verdict = range(len(head.split("\n")[0])), range(len(head) + 2, len(head) + 2 + len(origin))
    for place in range(len(text)):
        changed = "0" if text[place] != "0" else "1"
        proof.write_text(text[:place] + changed + text[place + 1 :])
        result = run("check", proof)
        assert result.exit_code != 0, (place, text[place])
        assert result.exit_code == 1 or any(place in r for r in no_verdict) or place < 26, place


def test_a_key_is_given_as_text_or_as_file(
    run: Run, proof: Path, fake: FakeServer, home: Path, tmp_path: Path
) -> None:
    known_keys(home).unlink()
    nothing = run("check", proof)
    assert nothing.exit_code == 2 and "give it with --key" in nothing.output
    key = str(fake.log.signer.verifier)
    other = str(Signer("elsewhere", b"x" * 32).verifier)
    (tmp_path / "verifier").write_text(key + "\n")
    assert run("check", proof, "--key", key).exit_code == 0
    assert run("check", proof, "--key", f"{other}\n{key}\n").exit_code == 0
    assert run("check", proof, "--key", tmp_path / "verifier").exit_code == 0
    assert run("check", proof, "--key", other).exit_code == 2
    assert run("check", proof, "--key", "nonsense").exit_code == 2
    impostor = str(Signer(fake.log.origin, b"x" * 32).verifier)
    assert run("check", proof, "--key", impostor).exit_code == 1


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 50])
def test_what_is_no_proof_is_exit_code_2(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert run("check", tmp_path / "x").exit_code == 2
    assert run("check", tmp_path / "nowhere").exit_code == 2
    assert run("check", tmp_path).exit_code == 2


def test_a_changed_key_is_refused_loudly(
    run: Run, proof: Path, fake: FakeServer, url: str, tmp_path: Path
) -> None:
    fake.log.signer = Signer(fake.log.origin, b"another key of thirty-two bytes!")
    result = run("prove", PLACE, "-o", tmp_path / "new", "--url", url)
    assert result.exit_code == 1
    assert "HAS CHANGED" in result.output
    assert not (tmp_path / "new").exists()


def other_entry(fake: FakeServer) -> Answer:
    return Answer(200, fake.log.entries[6])


def other_proof(fake: FakeServer) -> Answer:
    return Answer(200, fake.log.proof(6).encode())


def other_log(fake: FakeServer) -> Answer:
    """A proof by the right key, of a log of another name."""
    log = SignedLog(shard="ffffffff")
    log.signer, log.entries = Signer(log.origin, b"k" * 32), fake.log.entries
    return Answer(200, log.proof(5).encode())


def no_proof(_fake: FakeServer) -> Answer:
    return Answer(200, b"<html>")


@pytest.mark.parametrize(
    ("path", "lie"),
    [
        (r".*/entries/5", other_entry),
        (r".*/proof", other_proof),
        (r".*/proof", other_log),
        (r".*/proof", no_proof),
    ],
)
def test_nothing_is_written_of_what_does_not_hold(
    run: Run, fake: FakeServer, url: str, tmp_path: Path, home: Path, path: str, lie: object
) -> None:
    fake.routes[path] = lambda _request: lie(fake)  # type: ignore[operator]
    result = run("prove", PLACE, "-o", tmp_path / "p", "--url", url)
    assert result.exit_code == 1, result.output
    assert not (tmp_path / "p").exists() and not known_keys(home).exists()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("default/0a1b2c3d", "LOG/SHARD/INDEX"),
        ("default/0a1b2c3d/-1", "LOG/SHARD/INDEX"),
        ("other/0a1b2c3d/1", "has no log 'other'"),
        ("default/ffffffff/1", "has no shard 'ffffffff'"),
        ("default/0a1b2c3d/300", "no entry 300"),
    ],
)
def test_a_place_that_is_not_there_is_exit_code_2(
    run: Run, url: str, tmp_path: Path, place: str, says: str
) -> None:
    result = run("prove", place, "-o", tmp_path / "p", "--url", url)
    assert result.exit_code == 2 and says in result.output.replace("\n", "")


def test_a_broken_known_keys_file_is_named_with_its_line(run: Run, proof: Path, home: Path) -> None:
    with known_keys(home).open("a") as file:
        file.write("# a remark\n\nnonsense\n")
    result = run("check", proof)
    assert result.exit_code == 2 and "known_keys, line 4" in result.output
