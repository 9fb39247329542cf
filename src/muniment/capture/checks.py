"""What can be known to be wrong before the agent runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from glob import glob
from importlib import import_module

from muniment.capture.endpoint import Endpoint
from muniment.capture.port import Watcher
from muniment.capture.redaction import redactor
from muniment.capture.section import KINDS, Section
from muniment.capture.settings import AgentSettings
from muniment.errors import MunimentError

_PATTERNS = {"tail": "paths", "files": "paths", "haproxy": "files"}
"""Kinds of sections that name files, and the setting that does."""


def problems(settings: AgentSettings) -> Iterator[str]:
    """Yields what stands in the way, a sentence each: files, endpoints, the token."""
    yield from _state(settings)
    if not any(settings.sections(kind) for kind in KINDS):
        yield f"nothing is followed: write a section ({', '.join(f'[[{kind}]]' for kind in KINDS)})"
    for kind, member in _PATTERNS.items():
        for section in settings.sections(kind):
            yield from _files(f"{kind} {section.name}", getattr(section, member))
    for kind in KINDS:
        for watched in settings.sections(kind):
            yield from _unseen(kind, watched)
    for url in settings.endpoints:
        endpoint = Endpoint(url, settings)
        try:
            said = endpoint.check()
        except MunimentError as error:
            said = error.detail
        finally:
            endpoint.close()
        if said:
            yield said


def _unseen(kind: str, section: Section) -> Iterator[str]:
    """Looks once at all that the section watches."""
    module = import_module(KINDS[kind])
    if not hasattr(module, "watchers"):
        return
    try:
        watchers: Iterable[Watcher] = list(module.watchers(section, redactor(os.urandom(32))))
    except (MunimentError, OSError) as error:
        yield f"{kind} {section.name}: {error}"
        return
    for watcher in watchers:
        scopes: dict[str, list[str]] = {}  # by what keeps them from being seen
        try:
            for seen in watcher.observe():
                if seen.error:
                    scopes.setdefault(seen.error, []).append(seen.scope)
        except (MunimentError, OSError) as error:
            scopes.setdefault(str(error), [])
        finally:
            watcher.close()
        for reason, unseen in scopes.items():
            yield f"{watcher.name}: {reason}" + (f" ({', '.join(unseen)})" if unseen else "")


def _state(settings: AgentSettings) -> Iterator[str]:
    folder = settings.state
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield f"state: {settings.state} cannot be written"


def _files(section: str, patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        paths = glob(pattern, recursive=True)  # noqa: PTH207 (absolute patterns)
        if not paths:
            yield f"{section}: nothing is found at {pattern}"
        for path in paths:
            if not os.access(path, os.R_OK):
                yield f"{section}: {path} cannot be read"
