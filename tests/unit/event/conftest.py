"""Real log lines, and the events that they become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from muniment.event import source as hook
from muniment.event.decode import decode
from muniment.event.schema import SCHEMA
from muniment.event.source import Source

DATA = Path(__file__).parents[2] / "data"
RECEIVED = "2026-11-20T23:11:00.000001Z"

Event = dict[str, Any]
Decode = Callable[..., list[Event]]


def entry(raw: bytes, source: str | None) -> bytes:
    kind = "" if source is None else f',"as":"{source}"'
    return f'{{"at":"{RECEIVED}","node":"n1","via":"http"{kind}}}\n'.encode() + raw


@pytest.fixture
def events() -> Decode:
    """Decodes lines of one source and checks what holds for every table."""

    def decoded(source: str | None, lines: Iterable[bytes | str], **options: Any) -> list[Event]:
        raws = [line.encode() if isinstance(line, str) else line for line in lines]
        table = decode(
            [entry(raw, source) for raw in raws], log="l", shard="s", first=100, **options
        )
        assert table.schema == SCHEMA
        table.validate(full=True)
        rows: list[Event] = table.to_pylist()
        assert [row["index"] for row in rows] == list(range(100, 100 + len(raws)))
        return rows

    return decoded


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Source]]:
    """Sources of outsiders, by name."""
    outside: dict[str, Source] = {}
    monkeypatch.setattr(hook, "_own", outside)
    yield outside
    hook.sources.cache_clear()


@pytest.fixture
def sample() -> Callable[[str], list[bytes]]:
    """The lines of a file of samples."""
    return lambda name: [line for line in (DATA / name).read_bytes().split(b"\n") if line]
