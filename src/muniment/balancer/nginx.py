"""NGINX's configuration as it stands in files: the tree of includes.

Files are found as NGINX finds them: a relative `include` is relative to the directory of the main
file, a pattern is expanded as glob(3) does, in the order of names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from muniment.balancer.nginx_syntax import Directive, Parsed, parse
from muniment.balancer.pages import NotSeen
from muniment.errors import InputError

MAX_FILES = 4_096
MAX_FILE = 8 << 20
MAX_TREE = 64 << 20
MAX_INCLUDES = 32
"""How deep files may include each other."""

MAX_EXPANDED = 1_000_000


@dataclass(slots=True)
class File:
    """A file of the configuration, its text, and what it says; None where that cannot be read.

    What is no UTF-8 is read as Latin-1, so that its bytes can be had again. `about` is what the
    file system says of it; None where it is not there.
    """

    raw: bytes
    text: str
    encoding: str
    parsed: Parsed | None
    fault: str = ""
    about: os.stat_result | None = None


@dataclass(slots=True)
class Tree:
    """The files of a configuration by absolute path; the main file is the first."""

    main: str
    files: dict[str, File] = field(default_factory=dict)

    @property
    def written(self) -> float:
        """When a file of it was written last, in seconds since 1970."""
        return max((f.about.st_mtime for f in self.files.values() if f.about), default=0.0)

    def faults(self) -> list[str]:
        """What is wrong with the files, a sentence each."""
        return [f"{path}: {file.fault}" for path, file in self.files.items() if file.fault]


def read_tree(
    main: Path,
    known: Mapping[str, File] | None = None,
    instead: Mapping[str, bytes | None] | None = None,
) -> Tree:
    """Reads the main file and all that it includes. Raises NotSeen.

    Files of `known` that hold the same bytes are not parsed again. `instead` has what is to be
    taken for the content of some files (None: not there).
    """
    instead = instead or {}
    tree = Tree(str(main))
    waiting = [tree.main]
    total = 0
    while waiting:
        path = waiting.pop(0)
        if path in tree.files:
            continue
        raw, about = (instead[path], None) if path in instead else _read(path)
        if raw is None:
            raise NotSeen(f"{path}: no such file")
        total += len(raw)
        if total > MAX_TREE or len(tree.files) >= MAX_FILES:
            raise NotSeen(f"{main} and what it includes are more than is read")
        file = tree.files[path] = _file(raw, known.get(path) if known else None)
        file.about = about
        for directive in walk(file.parsed.directives if file.parsed else []):
            if directive.name == "include" and len(directive.args) == 1:
                pattern = os.path.join(main.parent, directive.args[0].value)  # noqa: PTH118
                directive.includes = tuple(_matching(pattern, instead))
                waiting += directive.includes
    return tree


def _file(raw: bytes, known: File | None) -> File:
    if known is not None and known.raw == raw:
        return known
    try:
        text, encoding = raw.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = raw.decode("latin-1"), "latin-1"
    try:
        return File(raw, text, encoding, parse(text))
    except InputError as error:
        return File(raw, text, encoding, None, error.detail)


def _read(path: str) -> tuple[bytes, os.stat_result]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            os.close(descriptor)
            raise NotSeen(f"{path} is not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise NotSeen(f"{path}: {error.strerror}") from error
    if len(raw) > MAX_FILE:
        raise NotSeen(f"{path} has more than {MAX_FILE} bytes")
    return raw, about


def _matching(pattern: str, instead: Mapping[str, bytes | None]) -> list[str]:
    pattern = os.path.normpath(pattern)
    if not has_magic(pattern):
        return [pattern]
    found = {os.path.normpath(path) for path in glob(pattern)}  # noqa: PTH207 (absolute)
    folder = os.path.dirname(pattern)  # noqa: PTH120
    for path, content in instead.items():
        if content is None:
            found.discard(path)
        elif os.path.dirname(path) == folder and fnmatchcase(path, pattern):  # noqa: PTH120
            found.add(path)
    return sorted(found, key=os.fsencode)


def walk(directives: Sequence[Directive]) -> Iterator[Directive]:
    """Yields directives and all that stands in their blocks, in the order of the text."""
    for directive in directives:
        yield directive
        if directive.block:
            yield from walk(directive.block)


def expanded(tree: Tree) -> list[Directive]:
    """Returns the configuration as one, each include replaced by what it brings in. Raises NotSeen.

    The tree must be whole: without faults.
    """
    count = 0

    def expand(directives: Sequence[Directive], depth: int) -> Iterator[Directive]:
        nonlocal count
        for one in directives:
            count += 1
            if depth > MAX_INCLUDES or count > MAX_EXPANDED:
                raise NotSeen("the files include each other without end, or bring in too much")
            if one.includes:
                for path in one.includes:
                    yield from expand(_directives(tree, path), depth + 1)
            elif one.block is not None:
                block = list(expand(one.block, depth))
                yield replace(one, block=block)
            elif one.name != "include":
                yield one

    return list(expand(_directives(tree, tree.main), 0))


def _directives(tree: Tree, path: str) -> list[Directive]:
    parsed = tree.files[path].parsed
    return parsed.directives if parsed is not None else []


def flat(tree: Tree) -> bytes:
    """Returns the configuration as one file, for NGINX to check. Raises NotSeen."""
    size = 0

    def flat_file(path: str, depth: int) -> bytes:
        nonlocal size
        file = tree.files[path]
        size += len(file.raw)
        if depth > MAX_INCLUDES or size > MAX_TREE * 4:
            raise NotSeen("the files include each other without end, or bring in too much")
        parts: list[bytes] = []
        at = 0
        for one in walk(file.parsed.directives if file.parsed else []):
            if one.name == "include":
                parts.append(file.text[at : one.start].encode(file.encoding))
                parts += [b"\n" + flat_file(each, depth + 1) + b"\n" for each in one.includes]
                at = one.end
        parts.append(file.text[at:].encode(file.encoding))
        return b"".join(parts)

    return flat_file(tree.main, 0)
