"""Files and folders of the simulated disk: what is written, and what of it is durable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

PAGE = 64
"""Bytes that reach the disk together; few, so that a small write has several."""


@dataclass(slots=True)
class _Change:
    """Bytes put at an offset, or, without bytes, a cut there.

    `doubtful` is what a failed sync leaves behind: the system holds it for written, so that no
    later sync writes it again.
    """

    offset: int
    data: bytes | None
    doubtful: bool = False
    synced: bool = False

    def apply(self, to: bytearray, data: bytes | None) -> None:
        if data is None:
            del to[self.offset :]
        else:
            to.extend(bytes(max(0, self.offset - len(to))))
            to[self.offset : self.offset + len(data)] = data


@dataclass(slots=True)
class FileNode:
    data: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    changes: list[_Change] = field(default_factory=list)
    sealed: bool = False

    def change(self, offset: int, data: bytes | None) -> None:
        change = _Change(offset, data)
        change.apply(self.data, data)
        self.changes.append(change)

    def sync(self) -> None:
        for change in self.changes:
            change.synced = not change.doubtful
        while self.changes and self.changes[0].synced:
            change = self.changes.pop(0)
            change.apply(self.durable, change.data)

    def fail_sync(self, drop: bool) -> None:
        for change in self.changes:
            change.doubtful = not change.synced
        if drop:
            self.data = bytearray(self.durable)
            for change in self.changes:
                if change.synced:
                    change.apply(self.data, change.data)

    def after_power_loss(self, random: Random) -> bytearray:
        data = bytearray(self.durable)
        for change in self.changes:
            if change.synced:
                change.apply(data, change.data)
            elif random.random() < 0.8:
                change.apply(data, _partly(change.data, random) if change.data else change.data)
        return data


def _partly(data: bytes, random: Random) -> bytes:
    """Of a write: all of it, a beginning, or some pages with zeros for the others."""
    how = random.random()
    if how < 0.3:
        return data
    if how < 0.65:
        return data[: random.randrange(len(data) + 1)]
    pages = [data[i : i + PAGE] for i in range(0, len(data), PAGE)]
    return b"".join(page if random.random() < 0.5 else bytes(len(page)) for page in pages)


@dataclass(slots=True)
class FolderNode:
    entries: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    changes: list[dict[str, Node | None]] = field(default_factory=list)

    def change(self, names: dict[str, Node | None]) -> None:
        _rename(self.entries, names)
        self.changes.append(names)

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.changes.clear()

    def after_power_loss(self, random: Random) -> dict[str, Node]:
        names = dict(self.durable)
        for change in self.changes:
            if random.random() < 0.6:
                _rename(names, change)
        return names


Node = FileNode | FolderNode


def _rename(entries: dict[str, Node], change: dict[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def restored(folder: FolderNode, random: Random, known: dict[int, FileNode]) -> FolderNode:
    names: dict[str, Node] = {}
    for name, node in folder.after_power_loss(random).items():
        if isinstance(node, FolderNode):
            names[name] = restored(node, random, known)
        else:
            data = known.setdefault(id(node), FileNode(node.after_power_loss(random)))
            names[name] = FileNode(bytearray(data.data), bytearray(data.data), sealed=node.sealed)
    return FolderNode(names, dict(names))


def files_below(folder: FolderNode, path: Path) -> Iterator[tuple[Path, bytes]]:
    for name, node in sorted(folder.entries.items()):
        if isinstance(node, FolderNode):
            yield from files_below(node, path / name)
        else:
            yield path / name, bytes(node.data)
