"""`muniment verify --executor`: who reads the segments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from muniment.settings.store import Connection
    from muniment.trust.executor import Executor


@contextmanager
def open_executor(
    name: str | None, jobs: int, store: Connection | None = None
) -> Iterator[Executor | None]:
    """Connects to an executor; None for none. A cluster has all its places used without --jobs.

    Raises SettingsError, Unavailable.
    """
    if name is None:
        yield None
        return
    from muniment.trust.executor import Executor
    from muniment.trust.executor_backends import open_backend

    given = click.get_current_context().get_parameter_source("jobs") is not ParameterSource.DEFAULT
    here = name in ("threads", "processes")
    with open_backend(name, jobs if here or given else None) as run:
        yield Executor(name, run, jobs=jobs, store=store)


def remarks(executor: Executor | None) -> Iterator[str]:
    """Says what was left to others."""
    from muniment.trust.executor_messages import process_name

    if executor is not None and executor.workers.keys() - {process_name()}:
        count = len(executor.workers)
        yield (
            f"{sum(executor.workers.values()):,} segments were read by {count:,} "
            f"worker{'s' if count > 1 else ''} of {executor.name}, {executor.again:,} of them "
            "again here: that a worker read what it says is its word"
        )
