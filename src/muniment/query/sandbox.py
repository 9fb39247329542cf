"""The process that runs one SQL statement of a stranger and ends: `python -m ... < request`.

It can read the files of one view each log and nothing else: DuckDB's access to files, network,
extensions and settings is locked before the statement is seen, and the kernel holds even where
DuckDB does not: no other file can be opened, no file written, memory and processor time are
bounded. Whoever started it kills it when time is up.
"""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import orjson

from muniment.query.confine import confine_files, limit
from muniment.query.rows import instant_text

MAX_STATEMENT = 64 << 10
UNNAMED = "/proc/self/fd/"
"""Where a file that is passed on as an open handle is found."""

_MAX_RESULT = 8 << 20
_BATCH = 256
_MAX_INTEGER = 1 << 63


class SandboxRequest(msgspec.Struct):
    """What to run. `views` are files by view name; `memory` is in MiB, for DuckDB alone.

    `without` names optimizers of DuckDB that are not to be used.
    """

    statement: str
    views: dict[str, list[str]]
    limit: int
    memory: int
    address_space: int
    seconds: int
    without: str = ""


def main() -> None:
    """Reads a request, prints an answer: columns and rows, or an error."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=SandboxRequest)
    try:
        connection = _connect(request)
        _confine(request, connection)
        answer = _run(request, connection)
    except duckdb.OutOfMemoryException:
        answer = {"error": "memory", "detail": "the statement needs more memory than it may have"}
    except duckdb.InternalException as error:
        answer = {"error": "internal", "detail": _message(error)}
    except (duckdb.Error, ValueError) as error:
        answer = {"error": "statement", "detail": _message(error)}
    except MemoryError:
        answer = {"error": "memory", "detail": "the statement needs more memory than it may have"}
    sys.stdout.buffer.write(orjson.dumps(answer))
    sys.stdout.buffer.flush()


def _confine(request: SandboxRequest, connection: duckdb.DuckDBPyConnection) -> None:
    """Gives up all that the statement does not need."""
    # What is imported at first use must be there before files cannot be opened any more.
    warm: Any = connection.execute("SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00'")
    warm.to_arrow_reader(1).read_all().to_pylist()
    files = {path for paths in request.views.values() for path in paths}
    confine_files(sorted(path for path in files if not path.startswith(UNNAMED)))
    limit(
        {
            resource.RLIMIT_AS: request.address_space << 20,
            resource.RLIMIT_CPU: request.seconds * 2 + 5,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_CORE: 0,
        }
    )


def _run(request: SandboxRequest, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    statements = connection.extract_statements(request.statement)
    if len(statements) != 1:
        raise ValueError("expected just one statement")
    if statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise ValueError("only SELECT, WITH and EXPLAIN are allowed")
    reader: Any = connection.execute(statements[0]).to_arrow_reader(_BATCH)
    columns = [{"name": field.name, "type": str(field.type)} for field in reader.schema]
    rows: list[list[Any]] = []
    size = 0
    for row in _rows(reader):
        size += len(orjson.dumps(row))
        if len(rows) == request.limit or size > _MAX_RESULT:
            return {"columns": columns, "rows": rows, "truncated": True}
        rows.append(row)
    return {"columns": columns, "rows": rows, "truncated": False}


def _connect(request: SandboxRequest) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{request.memory}MiB",
            "threads": 1,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
            "enable_external_file_cache": False,
            "late_materialization_max_rows": 0,
            "disabled_optimizers": request.without,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    allowed = sorted({path for paths in request.views.values() for path in paths})
    connection.execute(f"SET allowed_paths = {_list(allowed)}")
    for name, paths in request.views.items():
        quoted = name.replace('"', '""')
        connection.execute(
            f'CREATE VIEW "{quoted}" AS SELECT * FROM read_parquet({_list(paths)}, '  # noqa: S608
            "union_by_name = true, hive_partitioning = false)"
        )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _list(texts: list[str]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


def _rows(reader: Any) -> Iterator[list[Any]]:
    for batch in reader:
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """A value for JSON; null members of structs are left out."""
    match value:
        case None | str() | bool():
            return value
        case int():
            return value if -_MAX_INTEGER <= value < _MAX_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return _plain(int(value)) if value == value.to_integral() else float(value)
        case datetime():
            return instant_text(value)
        case bytes():
            return value.hex()
        case dict():
            return {str(k): _plain(v) for k, v in value.items() if v is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
    return str(value)


def _message(error: Exception) -> str:
    """What a person needs of DuckDB's message: not its stack, not its advice on settings."""
    return str(error).split("\n\nStack Trace")[0].split("\nPossible solutions")[0][:2_000]


if __name__ == "__main__":
    main()
