"""A disk that is full, a limit that is reached, a sync that fails: refuse, say why, recover.

What must hold each time: no acknowledgement while the bytes cannot be made durable, the reason in
`/readyz`, everything acknowledged before still readable, and writing again as soon as it can be.
"""

from __future__ import annotations

import base64
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import httpx
import pytest

from muniment.trust.directory import verify_directory

from .harness.cli import build_library
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for
from .harness.writers import Kept, Sent

MIB = 1 << 20
BODY = 200 << 10

FAILING_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int failing(void) {
  const char *flag = getenv("FAILING_SYNC");
  return flag && access(flag, F_OK) == 0;
}
int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (failing()) { errno = EIO; return -1; }
  return real(fd);
}
int fsync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  if (failing()) { errno = EIO; return -1; }
  return real(fd);
}
"""


class Recorder:
    """Writes batches one after the other and keeps what was acknowledged."""

    def __init__(self, server: MunimentServer) -> None:
        self.server = server
        self.kept: list[Kept] = []
        self._count = 0
        self._random = Random(1)

    def _filler(self) -> bytes:
        """About 1,000 bytes that compression cannot make much smaller."""
        return base64.b64encode(self._random.randbytes(735))

    def write(self) -> httpx.Response:
        self._count += 1
        lines = [b"%d.%d %s" % (self._count, n, self._filler()) for n in range(BODY // 1000)]
        sent = Sent(lines, f"batch-{self._count}")
        answer = sent.post(self.server.http)
        if answer.status_code == 201:
            self.kept.append(Kept(sent, answer.json()))
        return answer

    def write_until_refused(self, most: int) -> httpx.Response:
        for _ in range(most):
            answer = self.write()
            if answer.status_code != 201:
                return answer
        raise AssertionError(f"{most} batches were taken")

    def assert_refused(self, answer: httpx.Response, *reasons: str) -> None:
        """The refusal is one that a client can act on, and `/readyz` gives the reason."""
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"].startswith("application/problem+json")
        ready = self.server.http.get("/readyz")
        assert ready.status_code == 503, ready.text
        assert any(reason in ready.text for reason in reasons), ready.text
        assert self.server.http.get("/healthz").status_code == 200
        printed = self.server.process.printed()
        assert any(reason in printed for reason in reasons), printed[-2000:]

    def assert_recovers(self) -> None:
        wait_for(lambda: self.write().status_code == 201, "an acknowledgement again")
        self.server.wait_ready()
        assert self.write().status_code == 201

    def assert_all_there(self) -> None:
        stored = self.server.stored()
        for kept in self.kept:
            for index, line in kept.places().items():
                assert split_entry(stored[index])[1] == line
        last = self.kept[-1]
        entry = self.server.entry(last.first, last.answer["shard"])
        assert split_entry(entry)[1] == last.sent.lines[0]

    def assert_intact(self) -> None:
        receipts = [kept.answer["receipt"] for kept in self.kept]
        report = verify_directory(self.server.data, trust=receipts)
        assert report.intact, "\n".join(map(str, report.findings))


def outlast(
    recorder: Recorder, refusal: httpx.Response, reasons: list[str], mend: Callable
) -> None:
    """From the first refusal through recovery to a restart."""
    server = recorder.server
    recorder.assert_refused(refusal, *reasons)
    recorder.assert_all_there()
    assert recorder.write().status_code == 503
    mend()
    recorder.assert_recovers()
    recorder.assert_all_there()
    server.wait_indexed()
    assert server.sql("SELECT count(*) FROM events") == [[server.shard()["size"]]]
    server.stop()
    recorder.assert_intact()
    server.start()
    recorder.assert_all_there()
    assert recorder.write().status_code == 201


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(34 * MIB))
    with serving(tmp_path, data=small_disk / "data") as server:
        recorder = Recorder(server)
        refusal = recorder.write_until_refused(100)
        assert recorder.kept, "the disk was full from the start"
        outlast(recorder, refusal, ["No space left"], ballast.unlink)


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        recorder = Recorder(server)
        recorder.write()
        pid = server.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1_500_000, hard))
        refusal = recorder.write_until_refused(20)

        # A new segment has room for a little again, so `/readyz` may say yes in between.
        assert refusal.status_code == 503, refusal.text
        assert int(refusal.headers["retry-after"]) >= 1
        assert "File too large" in refusal.text
        recorder.assert_all_there()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        recorder.assert_recovers()
        recorder.assert_all_there()
        server.stop()
        recorder.assert_intact()


def test_a_failing_sync(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: a sync cannot be made to fail")
    library, flag = build_library(FAILING_SYNC, tmp_path, compiler), tmp_path / "failing"
    env = {"LD_PRELOAD": str(library), "FAILING_SYNC": str(flag)}
    with serving(tmp_path, env) as server:
        recorder = Recorder(server)
        assert [recorder.write().status_code for _ in range(3)] == [201] * 3
        segments = set(server.data.glob("logs/*/*/*.seg"))
        flag.touch()
        refusal = recorder.write()
        outlast(recorder, refusal, ["Input/output error"], flag.unlink)
        new = set(server.data.glob("logs/*/*/*.seg")) - segments
        assert new, "the file whose sync failed is still written to"
