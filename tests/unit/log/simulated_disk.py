"""A disk in memory that keeps what is written apart from what is durable, and fails when told.

Every change is a step with a number, so that a test can let any one of them fail. What no sync
has covered is kept as a list of changes: of each, a power loss keeps all, nothing, a beginning or
some pages. That holds for the names in a folder too: a file is there after a power loss only if
its folder was synced. A process that is killed loses nothing: the system keeps the written bytes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random

from simulated_node import FileNode, FolderNode, Node, files_below, restored


class Fault(Enum):
    """What happens at a step."""

    FAILED = "failed"
    PERSISTED = "failed but persisted"
    TORN = "a part was written"
    DROPPED = "failed sync that threw the written pages away"
    POWER = "power loss"


class PowerLoss(BaseException):
    """The machine is off: no handler of the code under test may go on."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change that the code under test asks for."""

    number: int
    operation: str
    path: Path


Plan = Callable[[Step], Fault | None]


def at_step(number: int, fault: Fault) -> Plan:
    """The plan that one step fails, and nothing after it."""
    return lambda step: fault if step.number == number else None


def at_first(operation: str, path: Path, fault: Fault) -> Plan:
    """The plan that the first step of a kind fails, and nothing after it."""
    due = [fault]

    def plan(step: Step) -> Fault | None:
        return due.pop() if due and (step.operation, step.path) == (operation, path) else None

    return plan


def always(operation: str, path: Path, fault: Fault) -> Plan:
    """The plan that every step of a kind fails."""
    return lambda step: fault if (step.operation, step.path) == (operation, path) else None


class SimulatedFile:
    """The AppendFile of a SimulatedDisk."""

    def __init__(self, disk: SimulatedDisk, path: Path, file: FileNode) -> None:
        self._disk, self._path, self._file = disk, path, file

    def write(self, data: bytes) -> None:
        with self._disk.step("write", self._path) as fault:
            room = self._disk.room
            fits = data if room is None else data[: max(0, room)]
            if fault is Fault.TORN:
                fits = fits[: len(fits) // 2]
            if fits:
                self._file.change(len(self._file.data), fits)
            self._disk.take(len(fits))
            if len(fits) < len(data):
                raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self) -> None:
        with self._disk.step("sync", self._path, self._file):
            self._file.sync()

    def size(self) -> int:
        return len(self._file.data)

    def truncate(self, size: int) -> None:
        with self._disk.step("truncate", self._path):
            self._disk.take(size - len(self._file.data))
            self._file.change(size, None)

    def close(self) -> None:
        self._disk.alive()


class SimulatedDisk:
    """A Disk. `plan` says which steps fail, `room` how many bytes more fit (None: no bound)."""

    def __init__(self, root: FolderNode | None = None) -> None:
        self._root = root or FolderNode()
        self._off = False
        self.plan: Plan = lambda step: None
        self.steps: list[Step] = []
        self.room: int | None = None

    def alive(self) -> None:
        if self._off:
            raise PowerLoss

    def take(self, room: int) -> None:
        if self.room is not None:
            self.room -= room

    @contextmanager
    def step(
        self, operation: str, path: Path, file: FileNode | None = None
    ) -> Iterator[Fault | None]:
        """Counts a step and lets it fail as planned: before it is done, or after."""
        self.alive()
        step = Step(len(self.steps), operation, path)
        self.steps.append(step)
        fault = self.plan(step)
        if fault is Fault.POWER and file is not None:
            self._off = True
            raise PowerLoss
        if fault in (Fault.FAILED, Fault.DROPPED):
            if file is not None:
                file.fail_sync(drop=fault is Fault.DROPPED)
            raise OSError(errno.EIO, "Input/output error")
        yield fault
        if fault is Fault.POWER:
            self._off = True
            raise PowerLoss
        if fault in (Fault.PERSISTED, Fault.TORN):
            raise OSError(errno.EIO, "Input/output error")

    def create(self, path: Path, mode: int = 0o644) -> SimulatedFile:
        folder = self._folder(path.parent)
        with self.step("create", path):
            if path.name in folder.entries:
                raise FileExistsError(errno.EEXIST, "File exists", str(path))
            file = FileNode()
            folder.change({path.name: file})
        return SimulatedFile(self, path, file)

    def append(self, path: Path) -> SimulatedFile:
        with self.step("open", path):
            file = self._file(path)
            if file.sealed:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return SimulatedFile(self, path, file)

    def read(self, path: Path, offset: int = 0, length: int | None = None) -> bytes:
        self.alive()
        data = self._file(path).data
        return bytes(data[offset : len(data) if length is None else offset + length])

    def size(self, path: Path) -> int:
        return len(self._file(path).data)

    def names(self, directory: Path) -> list[str]:
        self.alive()
        return sorted(self._folder(directory).entries)

    def make_directory(self, path: Path) -> None:
        """Durable at once, as the port asks."""
        node = self._root
        for part in path.parts:
            if part not in node.entries:
                with self.step("make_directory", path):
                    folder = FolderNode()
                    node.entries[part] = node.durable[part] = folder
            node = node.entries[part]

    def sync_directory(self, path: Path) -> None:
        folder = self._folder(path)
        with self.step("sync_directory", path):
            folder.sync()

    def remove(self, path: Path) -> None:
        folder, file = self._folder(path.parent), self._file(path)
        with self.step("remove", path):
            folder.change({path.name: None})
            self.take(-len(file.data))

    def rename(self, old: Path, new: Path) -> None:
        folder, node = self._folder(old.parent), self._node(old)
        with self.step("rename", new):
            folder.change({old.name: None, new.name: node})

    def seal(self, path: Path) -> None:
        file = self._file(path)
        with self.step("seal", path):
            file.sealed = True

    def killed(self) -> SimulatedDisk:
        """The disk as the next process finds it where only the process died."""
        disk = SimulatedDisk(self._root)
        self._off = True
        return disk

    def after_power_loss(self, random: Random) -> SimulatedDisk:
        """A disk in one of the states in which a power loss can leave this one."""
        return SimulatedDisk(restored(self._root, random, {}))

    def copy(self) -> SimulatedDisk:
        """Another disk with the same files, which share nothing with these."""
        return SimulatedDisk(deepcopy(self._root))

    def files(self) -> dict[Path, bytes]:
        """All files with what is written in them."""
        return dict(files_below(self._root, Path()))

    def exists(self, path: Path) -> bool:
        """Whether there is a file or folder of that name."""
        try:
            self._node(path)
        except FileNotFoundError:
            return False
        return True

    def poke(self, path: Path, data: bytes | None) -> None:
        """Puts durable bytes where a file is or was; None removes it. No step, no fault."""
        folder = self._folder(path.parent)
        if data is None:
            folder.durable.pop(path.name, None)
            del folder.entries[path.name]
        else:
            file = FileNode(bytearray(data), bytearray(data))
            folder.entries[path.name] = folder.durable[path.name] = file

    def _node(self, path: Path) -> Node:
        node: Node = self._root
        for part in path.parts:
            if not isinstance(node, FolderNode) or part not in node.entries:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
            node = node.entries[part]
        return node

    def _folder(self, path: Path) -> FolderNode:
        node = self._node(path)
        if not isinstance(node, FolderNode):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
        return node

    def _file(self, path: Path) -> FileNode:
        node = self._node(path)
        if not isinstance(node, FileNode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        return node
