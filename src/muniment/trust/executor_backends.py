"""Where tasks of a verification run: threads or processes here, or a cluster, all through joblib.

Dask, Ray and Spark are the user's own; nothing of them is imported before one is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from muniment.errors import SettingsError, Unavailable
from muniment.trust.executor_worker import work

ANSWER_SECONDS = 3_600.0
"""So long one segment may take."""

CONNECT_SECONDS = 30.0

ROUND = 256
"""Tasks that are given at a time to a cluster that keeps its answers until all are there."""

_ADDRESS = re.compile(
    r"(dask|ray)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):([1-9][0-9]{0,4})", re.ASCII
)
_HERE = ("threading", "loky")
_NEEDS = {"dask": "distributed", "ray": "ray", "spark": "joblibspark pyspark"}

Run = Callable[[Mapping[int, bytes]], Iterator[object]]
"""Runs tasks by number and yields the answers, in any order; raises whatever the cluster does."""


def check_executor(name: str) -> str:
    """Returns the name. Raises SettingsError where it is of no executor."""
    if name in ("threads", "processes", "ray", "spark") or _ADDRESS.fullmatch(name):
        return name
    raise SettingsError(
        f"{name!r} is no executor: threads, processes, dask://HOST:PORT, ray, ray://HOST:PORT "
        "or spark"
    )


@contextmanager
def open_backend(name: str, jobs: int | None) -> Iterator[Run]:
    """Connects to an executor; `jobs` tasks run at a time, None: as many as it has places.

    Raises SettingsError where its packages are not installed, Unavailable where it does not answer.
    """
    kind = check_executor(name).partition(":")[0]
    with ExitStack() as stack:
        try:
            options = _OPENERS[kind](name, stack)
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"{name}: {error.name} is not installed: pip install {_NEEDS.get(kind, '')}"
            ) from error
        except Exception as error:  # each library has errors of its own
            raise Unavailable(f"{name} does not answer: {_first_line(error)}") from error
        yield lambda tasks: _run(tasks, -1 if jobs is None else jobs, options)


def _run(tasks: Mapping[int, bytes], jobs: int, options: Mapping[str, Any]) -> Iterator[object]:
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    todo = list(tasks.values())
    streams = options["backend"] not in ("ray", "spark")  # those answer all at once
    step = len(todo) if streams else ROUND
    with parallel_config(**options):
        if options["backend"] not in _HERE and effective_n_jobs(jobs) < 2:
            raise Unavailable("it has one place: joblib would do all of it here")
        for start in range(0, len(todo), max(1, step)):
            parallel = Parallel(
                n_jobs=jobs,
                return_as="generator_unordered" if streams else "list",
                batch_size=1,
                timeout=ANSWER_SECONDS,
                max_nbytes=None,
            )
            yield from parallel(delayed(work)(task) for task in todo[start : start + step])


def _threads(name: str, stack: ExitStack) -> Mapping[str, Any]:
    del name, stack
    return {"backend": "threading"}


def _processes(name: str, stack: ExitStack) -> Mapping[str, Any]:
    del name, stack
    return {"backend": "loky", "inner_max_num_threads": 1}


def _dask(name: str, stack: ExitStack) -> Mapping[str, Any]:
    encrypted = import_module("dask").config.get("distributed.comm.require-encryption", False)
    address = ("tls://" if encrypted else "tcp://") + name.removeprefix("dask://")
    client = import_module("distributed").Client(
        address, timeout=CONNECT_SECONDS, set_as_default=False
    )
    stack.callback(client.close, timeout=CONNECT_SECONDS)
    return {"backend": "dask", "client": client, "pure": False, "retries": 2}


def _ray(name: str, stack: ExitStack) -> Mapping[str, Any]:
    ray, connection = import_module("ray"), import_module("ray.util.joblib")
    if not ray.is_initialized():
        ray.init(
            address=name if "://" in name else None, log_to_driver=False, configure_logging=False
        )
        stack.callback(ray.shutdown)
    connection.register_ray()
    return {"backend": "ray"}


def _spark(name: str, stack: ExitStack) -> Mapping[str, Any]:
    del name
    backend, sql = import_module("joblibspark"), import_module("pyspark.sql")
    session = sql.SparkSession.builder.appName("muniment verify").getOrCreate()
    stack.callback(session.stop)
    backend.register_spark()
    return {"backend": "spark"}


_OPENERS: Mapping[str, Callable[[str, ExitStack], Mapping[str, Any]]] = {
    "threads": _threads,
    "processes": _processes,
    "dask": _dask,
    "ray": _ray,
    "spark": _spark,
}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
