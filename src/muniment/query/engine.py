"""DuckDB as this process uses it: bounded in memory, threads and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any

import duckdb
import pyarrow as pa

from muniment.errors import Overloaded, QueryError, Unavailable
from muniment.query import address

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "enable_external_file_cache": False,
    "preserve_insertion_order": False,
    # DuckDB 2.0.0 mixes up struct members when it reads rows of a top-n late, and is then invalid.
    "late_materialization_max_rows": 0,
}
_INTERRUPT_SECONDS = 0.05


class OutOfTime(Exception):
    """The deadline of a session has passed."""


class Engine:
    """One DuckDB in memory; each query has a session, a connection of its own, in it."""

    def __init__(
        self, *, clock: Callable[[], float], memory: str = "64MB", threads: int = 2
    ) -> None:
        self._clock = clock
        self._config = _SETTINGS | {"memory_limit": memory, "threads": threads}
        self._lock = Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(":memory:", config=self._config)
        connection.execute("SET TimeZone = 'UTC'")
        for macro in address.MACROS:
            connection.execute(macro)
        return connection

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection.cursor()

    def _break(self) -> None:
        """After a fault within DuckDB nothing more can be done with this database."""
        with self._lock:
            self._connection = None

    @contextmanager
    def session(self, seconds: float) -> Iterator[Session]:
        """Opens a session whose queries together may take so many seconds."""
        cursor = self._cursor()
        over = Event()
        session = Session(cursor, self._clock, self._clock() + seconds, self._break)
        watch = Thread(target=_watch, args=(cursor, over, seconds), name="deadline", daemon=True)
        watch.start()
        try:
            yield session
        finally:
            over.set()
            watch.join()
            cursor.close()

    def close(self) -> None:
        """Closes the database."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()


def _watch(cursor: duckdb.DuckDBPyConnection, over: Event, seconds: float) -> None:
    """Interrupts again and again: an interrupt between two queries would go unheard."""
    if not over.wait(seconds):
        cursor.interrupt()
        while not over.wait(_INTERRUPT_SECONDS):
            cursor.interrupt()


class Session:
    """Runs queries one after another until its deadline."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        clock: Callable[[], float],
        deadline: float,
        on_fault: Callable[[], None],
    ) -> None:
        self._on_fault = on_fault
        self._cursor = cursor
        self._clock = clock
        self._deadline = deadline

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self._clock() >= self._deadline

    def table(self, name: str, table: pa.Table) -> None:
        """Makes an Arrow table known under a name, in this session alone."""
        self._cursor.register(name, table)

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> pa.Table:
        """Returns the result. Raises OutOfTime, QueryError, or Overloaded for want of memory."""
        if self.late:
            raise OutOfTime
        try:
            return self._cursor.sql(sql, params=list(values)).to_arrow_table()
        except duckdb.InterruptException as error:
            raise OutOfTime from error
        except duckdb.OutOfMemoryException as error:
            raise Overloaded("the query needs more memory than it may have") from error
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            raise QueryError(_first_line(error)) from error
        except (duckdb.FatalException, duckdb.InternalException) as error:
            self._on_fault()
            raise Unavailable(f"the query failed: {_first_line(error)}") from error
        except duckdb.Error as error:
            raise Unavailable(f"the query failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
