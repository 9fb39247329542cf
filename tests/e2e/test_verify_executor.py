"""`muniment verify --executor` on real clusters: Dask, Ray, and Spark where asked for."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.settings.store import Connection
from muniment.store.local import LocalStore
from tests.segmented_log import archive_log, flip, segments_of, write_log

from .harness.cli import muniment
from .harness.process import Process, free_port
from .harness.programs import HEAVY
from .harness.waiting import wait_for

GATE = """\
import os, time
from muniment.trust import executor_worker
real = getattr(executor_worker, "real", executor_worker.check_segment)  # it is loaded thrice
executor_worker.real = real

def gated(disk, path, *rest):
    if path.name.startswith("0" * 17 + "600"):
        open({gate!r} + f"/pid-{{os.getpid()}}", "w").close()
        while not os.path.exists({gate!r} + "/open"):
            time.sleep(0.05)
    return real(disk, path, *rest)

executor_worker.check_segment = gated
"""
"""A worker that stops at the third segment until a gate is opened."""


def needs(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_log(tmp_path / "data")
    return tmp_path / "data"


class Dask:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.workers: list[Process] = []
        self._scheduler = self._run("dask.scheduler", "scheduler", f"--port={self.port}")
        self._scheduler.wait_listening(self.port, 60)

    def _run(self, module: str, name: str, *options: str) -> Process:
        quiet = {"PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", f"distributed.cli.{module.replace('.', '_')}"]
        command += ["--host", "127.0.0.1", "--no-dashboard", *options]
        return Process(command, self.directory / f"{name}.txt", quiet)

    def worker(self, *options: str) -> Process:
        """Starts a worker with two places, without a nanny that would start it anew."""
        name = f"worker-{len(self.workers)}"
        local = ["--local-directory", str(self.directory / name), "--no-nanny", "--nthreads=2"]
        started = self._run("dask.worker", name, *local, *options, f"tcp://127.0.0.1:{self.port}")
        self.workers.append(started)
        wait_for(lambda: "Registered to" in started.printed(), "the worker to join", 60)
        return started

    @property
    def url(self) -> str:
        """What `--executor` takes."""
        return f"dask://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Ends all of it."""
        for process in [*self.workers, self._scheduler]:
            process.end_group()


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    needs("distributed")
    directory = tmp_path / "dask"
    directory.mkdir()
    cluster = Dask(directory)
    yield cluster
    cluster.close()


def test_a_dask_cluster_reads_a_directory_and_a_store(
    data: Path, dask: Dask, tmp_path: Path
) -> None:
    dask.worker()
    dask.worker()
    status, told = muniment("verify", data, "--executor", dask.url, cwd=tmp_path)
    assert status == 0 and "10 segments were read by 2 workers of dask://" in told, told
    (tmp_path / "store").mkdir()
    store = f"file://{tmp_path}/store"
    archive_log(data, LocalStore(Connection.model_validate({"url": store}), "primary"))
    status, told = muniment("verify", "--store", store, "--executor", dask.url, cwd=tmp_path)
    assert status == 0 and "9 segments were read" in told, told
    flip(segments_of(data)[5])
    status, told = muniment("verify", data, "--executor", dask.url, cwd=tmp_path)
    assert status == 1 and segments_of(data)[5].name in told.replace("\n", ""), told


def test_a_worker_is_killed_in_the_middle(data: Path, dask: Dask, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    (gate / "gate.py").write_text(GATE.format(gate=str(gate)))
    first = dask.worker("--preload", str(gate / "gate.py"))
    command = [sys.executable, "-m", "muniment", "verify", str(data), "--executor", dask.url]
    verifying = Process(command, tmp_path / "verify.txt", {"HOME": str(tmp_path)})
    try:
        (held,) = wait_for(lambda: list(gate.glob("pid-*")), "the worker to stand at the gate")
        os.kill(int(held.name.removeprefix("pid-")), signal.SIGKILL)
        wait_for(lambda: not first.running, "the worker to die")
        time.sleep(1)
        assert verifying.running and "intact" not in verifying.printed()
        dask.worker()
        wait_for(lambda: not verifying.running, "the verification to end", 120)
    finally:
        status = verifying.stop()
    assert status == 0, verifying.printed()
    assert "10 segments were read" in verifying.printed()


def test_a_cluster_without_workers_or_a_scheduler_is_never_intact(
    data: Path, dask: Dask, tmp_path: Path
) -> None:
    status, told = muniment("verify", data, "--executor", dask.url, cwd=tmp_path)
    assert status == 2 and "did not check 10 of 10 segments" in told, told
    dask.close()
    status, told = muniment("verify", data, "--executor", dask.url, cwd=tmp_path)
    assert status == 2 and "does not answer" in told and "intact" not in told, told


def test_a_worker_that_does_not_see_the_files_is_told(
    data: Path, dask: Dask, tmp_path: Path
) -> None:
    code = "from muniment.trust import executor_worker\n"
    code += "executor_worker.decode_task = lambda data, real=executor_worker.decode_task: "
    code += "__import__('msgspec').structs.replace(real(data), path='/elsewhere/0.seg')\n"
    (tmp_path / "blind.py").write_text(code)
    dask.worker("--preload", str(tmp_path / "blind.py"))
    status, told = muniment("verify", data, "--executor", dask.url, cwd=tmp_path)
    assert status == 2 and "could not look: /elsewhere/0.seg: No such file" in told, told


def test_ray(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # a socket's path may have 107 bytes
    _both_answers("ray", data, tmp_path)


def test_spark(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get(HEAVY) != "1":
        pytest.skip(f"Spark is not started: {HEAVY}=1 does it")
    needs("pyspark", "joblibspark")
    if shutil.which("java") is None:
        pytest.skip("java is not installed: no Spark")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    _both_answers("spark", data, tmp_path)


def _both_answers(executor: str, data: Path, cwd: Path) -> None:
    status, told = muniment("verify", data, "--executor", executor, cwd=cwd, seconds=240)
    assert status == 0 and "10 segments were read by" in told and f"of {executor}" in told, told
    flip(segments_of(data)[5])
    status, told = muniment("verify", data, "--executor", executor, cwd=cwd, seconds=240)
    assert status == 1 and segments_of(data)[5].name in told.replace("\n", ""), told
