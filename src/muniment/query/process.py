"""The query process: follows the logs and answers questions, told so over stdin and stdout.

`python -m muniment.query.process --data DIR [--sources DIR]`; see `protocol` for what is said. The
first question must be `start`. The process ends when its stdin does, after a last flush.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO, Any

import orjson
import pyarrow as pa

from muniment.errors import MunimentError, QueryError, Unavailable
from muniment.event.own import use_directory
from muniment.index.follower import Follower
from muniment.index.reading import OpenReader, Reader
from muniment.query.engine import Engine
from muniment.query.evicted import open_reader
from muniment.query.protocol import MAX_REQUEST, error_message
from muniment.query.service import Service
from muniment.query.sql import SqlRunner

_WORKERS = 4
_ANNOUNCE_SECONDS = 0.1
_REPEAT_SECONDS = 1.0
_NICENESS = 10
_SETTLE_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Worker:
    """Reads questions from one file and writes the answers to another."""

    def __init__(
        self, data: Path, open_reader: OpenReader | None, source: IO[bytes], sink: IO[bytes]
    ) -> None:
        """`open_reader` None: what the first question says of the store decides."""
        self._data = data
        self._reader = open_reader
        self._source = source
        self._sink = sink
        self._writing = Lock()
        self._ended = Event()
        self._follower = Follower(
            data, self._open_reader, clock=time.monotonic, now=now, settle=Settle()
        )
        self._engine = Engine(clock=time.monotonic)
        self._service = Service(self._follower, self._engine, SqlRunner(data))
        self._pool = ThreadPoolExecutor(_WORKERS, "query")
        self._announcer = Thread(target=self._announce, name="announce")

    def run(self) -> None:
        """Works until the questions end."""
        self._announcer.start()
        try:
            while line := self._source.readline(MAX_REQUEST + 1):
                if not line.endswith(b"\n"):
                    _log.error("a request is too long or torn")
                    break
                self._take(orjson.loads(line))
        finally:
            self._ended.set()
            self._pool.shutdown(cancel_futures=True)
            self._announcer.join()
            self._follower.stop()
            self._engine.close()

    def _take(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "advance":
                try:
                    self._follower.advance(message["log"], message["shard"], message["size"])
                except (MunimentError, OSError) as error:
                    _log.error("%s/%s: %s", message["log"], message["shard"], error)
            case "start":
                if self._reader is None:
                    self._reader = open_reader(self._data, message["args"].get("store"))
                self._follower.start(message["args"]["logs"])
                self._say({"id": message["id"], "ok": {}})
            case _:
                self._pool.submit(self._answer, message)

    def _open_reader(self, directory: Path) -> Reader:
        if self._reader is None:
            raise Unavailable("the first question is `start`")
        return self._reader(directory)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            answer = self._service.call(message["op"], message["args"])
            self._say({"id": message["id"], "ok": answer})
        except MunimentError as error:
            self._say({"id": message["id"], "error": error_message(error)})
        except TypeError as error:
            wrong = QueryError(f"wrong arguments: {error}")
            self._say({"id": message["id"], "error": error_message(wrong)})
        except Exception:
            _log.exception("%s failed", message["op"])
            failed = Unavailable("the query failed within Muniment; its log says why")
            self._say({"id": message["id"], "error": error_message(failed)})

    def _announce(self) -> None:
        """Tells what has become searchable and which logs are followed, at most every so often.

        That there is nothing new is told now and then, too: it shows that this process is well.
        """
        told: tuple[dict[str, dict[str, int]], list[str]] = {}, []
        due = time.monotonic()
        while not self._ended.wait(_ANNOUNCE_SECONDS):
            now = self._follower.cursors(), self._follower.following()
            news = {log: cursors for log, cursors in now[0].items() if told[0].get(log) != cursors}
            if news or now[1] != told[1] or time.monotonic() >= due:
                duplicates = self._follower.duplicates()
                self._say({"indexed": news, "following": now[1], "duplicates": duplicates})
                told, due = now, time.monotonic() + _REPEAT_SECONDS

    def _say(self, message: dict[str, Any]) -> None:
        line = orjson.dumps(message) + b"\n"
        with self._writing:
            try:
                self._sink.write(line)
                self._sink.flush()
            except (BrokenPipeError, ValueError):
                self._ended.set()


def main(arguments: Sequence[str] | None = None, reader: OpenReader | None = None) -> None:
    """Runs the process. `reader` opens shards in place of what the first question says."""
    options = argparse.ArgumentParser(prog="muniment.query.process")
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--sources", type=Path)
    options.add_argument("--sources-python", action="store_true")
    given = options.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="query: %(levelname)s: %(message)s")
    for stop in (signal.SIGINT, signal.SIGTERM):  # sent to all; the end of stdin says when to go
        signal.signal(stop, signal.SIG_IGN)
    threading.excepthook = _end
    os.nice(_NICENESS)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    # What a library prints must not get between the answers.
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    if given.sources is not None:
        use_directory(given.sources, python=given.sources_python)
    Worker(given.data, reader, sys.stdin.buffer, sink).run()


def _end(fault: threading.ExceptHookArgs) -> None:
    """Without one of its threads the process is of no use; its owner starts another one."""
    _log.critical("thread %s failed", fault.thread, exc_info=fault.exc_value)
    os._exit(70)


def now() -> int:
    return time.time_ns() // 1_000_000


class Settle:
    """Hands freed memory back to the system, at most once a second: pages that come back cost."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock()

    def __call__(self) -> None:
        """Does it unless it was done a moment ago."""
        if self._clock() < self._due:
            return
        pa.default_memory_pool().release_unused()
        if _TRIM is not None:
            _TRIM(0)
        self._due = self._clock() + _SETTLE_SECONDS


_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)

if __name__ == "__main__":
    main()
