"""The Go project's own checker of tile logs accepts our log, and rejects it with one bit changed.

`github.com/transparency-dev/tessera/cmd/fsck`, built from the Go module proxy. Its releases up to
v1.0.4 print `fsck failed` but exit with 0; the commit named first here exits with 1 as well, but
not every mirror has it. Therefore what counts as accepted is its success line with our size and
root, and as rejected its failure line.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness.server import LOG, MunimentServer, serving
from tests.e2e.harness.waiting import wait_for

from .tampering import tampering

MODULE = "github.com/transparency-dev/tessera/cmd/fsck"
VERSIONS = ("ebd12e54dadee6568cd03d34d4b4e5aa4a53e7ed", "v1.0.4")
CACHE = Path(__file__).parents[2] / ".cache" / "fsck"
ENTRIES = 72_345
SUCCESS = "Successfully fsck'd log"
FAILURE = "fsck failed"


@pytest.fixture(scope="module")
def fsck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checker, built once for a checkout."""
    for version in VERSIONS:
        built = CACHE / version / "fsck"
        if built.is_file():
            return built
    return build(tmp_path_factory.mktemp("fsck-build"))


def build(directory: Path) -> Path:
    """Builds the checker and puts it into the cache; skips where that cannot be done."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        pytest.skip("go is not installed: the checker cannot be built")
    told = []
    for version in VERSIONS:
        done = subprocess.run(
            [go, "install", f"{MODULE}@{version}"],
            env={**os.environ, "GOBIN": str(directory), "GOFLAGS": "-buildvcs=false"},
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        if done.returncode == 0:
            built = CACHE / version / "fsck"
            built.parent.mkdir(parents=True, exist_ok=True)
            draft = built.with_name(f"fsck.{os.getpid()}")
            shutil.copy2(directory / "fsck", draft)
            draft.replace(built)  # another worker may be at the same
            return built
        told.append(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else version)
    pytest.skip(f"the checker cannot be built here: {'; '.join(told)}")


@dataclass(frozen=True)
class Big:
    """A server with a log of more than 70,000 entries under its published checkpoint."""

    server: MunimentServer
    shard: str
    verifier: Path
    root: bytes

    @property
    def prefix(self) -> str:
        return f"/tlog/{LOG}/{self.shard}/"


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Big]:
    directory = tmp_path_factory.mktemp("fsck")
    with serving(directory) as server:
        count, sizes = 0, [1, 255, 1, 256, 4_321]
        while count < ENTRIES:  # commits that begin and end anywhere within tiles
            size = min(sizes[0] if sizes else 9_973, ENTRIES - count)
            del sizes[:1]
            lines = [b"entry %d of the log %s" % (n, b"." * (n % 90)) for n in range(size)]
            server.accepted(b"\n".join(lines))
            count += size
        yield published(server, directory)


def published(server: MunimentServer, directory: Path) -> Big:
    """Waits for a checkpoint over all entries."""
    shard = server.shard()
    assert shard["size"] == ENTRIES
    path = f"/tlog/{LOG}/{shard['shard']}/checkpoint"

    def whole() -> list[str]:
        answer = server.http.get(path)
        lines = answer.text.splitlines()
        return lines if answer.status_code == 200 and lines[1] == str(ENTRIES) else []

    lines = wait_for(whole, f"a checkpoint of {ENTRIES} entries")
    assert lines[0] == shard["origin"]
    verifier = directory / "verifier"
    verifier.write_text(shard["verifier"])
    return Big(server, shard["shard"], verifier, base64.b64decode(lines[2]))


def run(fsck: Path, big: Big, address: str) -> tuple[str, int]:
    """Returns what the checker printed and its exit status."""
    command = [str(fsck), "-ui=false", "-N=4", f"-public_key={big.verifier}"]
    done = subprocess.run(
        [*command, f"-storage_url={address}{big.prefix}"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.stdout + done.stderr, done.returncode


def test_the_go_checker_accepts_the_log(fsck: Path, big: Big) -> None:
    printed, status = run(fsck, big, big.server.url)

    assert status == 0, printed
    assert FAILURE not in printed, printed
    (line,) = [line for line in printed.splitlines() if SUCCESS in line]
    assert re.search(rf"size[ =]{ENTRIES}\b", line), line
    assert big.root.hex() in line, line


@pytest.mark.parametrize(
    ("path", "offset"),
    [
        ("tile/entries/000", 2),
        ("tile/entries/141", 300),
        (f"tile/entries/282.p/{ENTRIES % 256}", 700),
        ("tile/0/017", 31),
        ("tile/0/281", 8_191),
        (f"tile/0/282.p/{ENTRIES % 256}", 0),
        ("tile/1/000", 4_000),
        (f"tile/1/001.p/{ENTRIES // 256 % 256}", 9),
        ("tile/2/000.p/1", 16),
        ("checkpoint", 30),
    ],
)
def test_the_go_checker_rejects_one_changed_bit(
    fsck: Path, big: Big, path: str, offset: int
) -> None:
    with tampering(big.server.url, path, offset) as address:
        printed, status = run(fsck, big, address)

    assert SUCCESS not in printed, printed
    assert FAILURE in printed, printed
    assert status == (0 if fsck.parent.name == "v1.0.4" else 1)


def test_tiles_are_immutable_and_only_in_their_canonical_form(big: Big) -> None:
    get = big.server.http.get
    width = ENTRIES % 256
    full = get(f"{big.prefix}tile/0/000")
    assert (full.status_code, len(full.content)) == (200, 8_192)
    assert full.headers["content-type"] == "application/octet-stream"
    assert "immutable" in full.headers["cache-control"]
    partial = get(f"{big.prefix}tile/0/282.p/{width}")
    assert (partial.status_code, len(partial.content)) == (200, 32 * width)
    checkpoint = get(f"{big.prefix}checkpoint")
    assert checkpoint.headers["content-type"].replace(" ", "") == "text/plain;charset=utf-8"
    assert "immutable" not in checkpoint.headers.get("cache-control", "")
    missing = ["0/282", f"0/282.p/{width + 1}", "0/283", "0/000.p/0", "0/000.p/256", "0/0"]
    missing += [
        "0/x000/000",
        "3/000.p/1",
        "64/000",
        "-1/000",
        "0/282.p/",
        "entries/282",
        "entries/999",
        "00/000",
    ]
    answers = {path: get(f"{big.prefix}tile/{path}").status_code for path in missing}
    assert set(answers.values()) <= {400, 404}, answers
