"""Read-only SQL over the index, for strangers: each statement in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from time import monotonic
from typing import Any

import msgspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from muniment.data_names import INDEX
from muniment.errors import Overloaded, QueryError
from muniment.event.schema import SCHEMA
from muniment.index.log_index import LogIndex
from muniment.query.sandbox import MAX_STATEMENT, UNNAMED, SandboxRequest

MAX_LIMIT = 10_000
ALL = "events"
_MAX_ANSWER = 32 << 20
_AT_ONCE = 2
_PLACE_SECONDS = 5.0
_FAULTY = "unused_columns"
"""The optimizer with which DuckDB 2.0.0 fails where a file lacks a struct whose member is asked for
(duckdb#24253). Without it a statement reads all columns."""


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """Bounds of one statement; memory in MiB: DuckDB's own bound, and the whole address space."""

    seconds: int = 20
    memory: int = 256
    address_space: int = 1_536


class SqlRunner:
    """Runs statements over the logs' indexes. Safe for several threads."""

    def __init__(self, data: Path, limits: SqlLimits | None = None) -> None:
        self._root = data / INDEX
        self._root.mkdir(parents=True, exist_ok=True)
        self._limits = limits or SqlLimits()
        self._places = BoundedSemaphore(_AT_ONCE)

    def run(self, statement: str, indexes: Mapping[str, LogIndex], limit: int) -> dict[str, Any]:
        """Returns {columns, rows, truncated} of one SELECT, WITH or EXPLAIN.

        The table `events` has the rows of all `indexes`, and each log is a table under its name.
        Raises QueryError, IndexDamaged, Overloaded for want of time or memory.
        """
        if len(statement.encode("utf-8", "surrogatepass")) > MAX_STATEMENT:
            raise QueryError(f"the statement is longer than {MAX_STATEMENT} bytes")
        if not 1 <= limit <= MAX_LIMIT:
            raise QueryError(f"limit must be from 1 to {MAX_LIMIT}")
        with ExitStack() as stack:
            # A table without rows makes sure that every column is there.
            columns = stack.enter_context(_unlinked(SCHEMA.empty_table()))
            handles = [columns]
            views: dict[str, list[str]] = {}
            for log, index in indexes.items():
                snapshot = index.snapshot
                views[log] = [_path(columns)]
                for part in snapshot.parts:
                    index.trusted(part)
                    views[log].append(f"{log}/{part.path}")
                for recent in snapshot.recent:
                    handles.append(stack.enter_context(_unlinked(recent.table)))
                    views[log].append(_path(handles[-1]))
            everything = [path for paths in views.values() for path in paths]
            views[ALL] = list(dict.fromkeys([_path(columns), *everything]))
            request = SandboxRequest(
                statement,
                views,
                limit,
                self._limits.memory,
                self._limits.address_space,
                self._limits.seconds,
            )
            if not self._places.acquire(timeout=_PLACE_SECONDS):
                raise Overloaded("too many statements at once")
            try:
                return self._answer(request, handles)
            finally:
                self._places.release()

    def _answer(self, request: SandboxRequest, handles: Sequence[int]) -> dict[str, Any]:
        """Runs a statement, and once again if DuckDB fails within: it may not with less of it."""
        due = monotonic() + self._limits.seconds
        answer = orjson.loads(self._sandbox(request, handles, due))
        if answer.get("error") == "internal":
            request = msgspec.structs.replace(request, without=_FAULTY)
            answer = orjson.loads(self._sandbox(request, handles, due))
        return _checked(answer)

    def _sandbox(self, request: SandboxRequest, handles: Sequence[int], due: float) -> bytes:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "muniment.query.sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._root,
            env={"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
            pass_fds=handles,
            start_new_session=True,
        )
        try:
            output, complaint = process.communicate(
                msgspec.json.encode(request), timeout=max(0.0, due - monotonic())
            )
        except subprocess.TimeoutExpired as error:
            raise Overloaded(
                f"the statement took longer than {self._limits.seconds} seconds"
            ) from error
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0 or len(output) > _MAX_ANSWER:
            raise Overloaded(_end(process.returncode, complaint))
        return output


@contextmanager
def _unlinked(table: pa.Table) -> Iterator[int]:
    """A Parquet file in memory that has no name and is gone when its handles are closed."""
    handle = os.memfd_create("rows", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            pq.write_table(table, file, compression="none", store_schema=False)
        yield handle
    finally:
        os.close(handle)


def _path(handle: int) -> str:
    return f"{UNNAMED}{handle}"


def _end(code: int, complaint: bytes) -> str:
    """Why a statement's process ended without an answer."""
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    last = lines[-1] if lines else ""
    return f"the statement was ended: it needs too much memory or time ({code}) {last}".strip()


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    match answer.get("error"):
        case None:
            return answer
        case "memory":
            raise Overloaded(answer["detail"])
    raise QueryError(answer["detail"])
