"""Files with parsers, read into sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from muniment.errors import SettingsError
from muniment.event import source as installed
from muniment.event.own.definition import MAX_FILE, NAME, Example, read
from muniment.event.own.parser import Defined
from muniment.event.source import Source


@dataclass(frozen=True, slots=True)
class Own:
    """A parser of one's own: its name (the `as` of entries), and the examples in its file."""

    name: str
    source: Source
    examples: Sequence[Example] = ()


def load(path: Path) -> Own:
    """Reads a `.toml` or runs a `.py` file.

    Raises SettingsError, which names the file and what is wrong with it.
    """
    if path.suffix not in (".toml", ".py"):
        raise SettingsError(f"{path}: a parser is a .toml or a .py file")
    try:
        own = _toml(path) if path.suffix == ".toml" else _python(path)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    if own.name in installed.sources():
        raise SettingsError(f"{path}: name: there is a source {own.name!r} already")
    return own


def load_directory(directory: Path, *, python: bool) -> dict[str, Own]:
    """Every `*.toml` of a directory, and with `python` every `*.py`, by name.

    Raises SettingsError where one of them is wrong, or two have one name.
    """
    if not directory.is_dir():
        raise SettingsError(f"{directory}: there is no such directory")
    wanted = (".toml", ".py") if python else (".toml",)
    found: dict[str, Own] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix not in wanted or path.name.startswith("."):
            continue
        own = load(path)
        if own.name in found:
            raise SettingsError(f"{path}: name: another file has {own.name!r}, too")
        found[own.name] = own
    return found


def use_directory(directory: Path, *, python: bool) -> None:
    """Makes the parsers of a directory known to this process; raises as `load_directory` does."""
    found = load_directory(directory, python=python)
    installed.use({name: own.source for name, own in found.items()})


def _toml(path: Path) -> Own:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise SettingsError(f"{path}: larger than {MAX_FILE:,} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error
    definition = read(text, str(path))
    return Own(definition.name, Defined(definition), definition.example)


def _python(path: Path) -> Own:
    """The object SOURCE of a module; its `name`, or else the file's, is that of the source."""
    spec = spec_from_file_location(f"muniment_own_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"{path}: there is no such file")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SettingsError(f"{path}: {type(error).__name__}: {error}") from error
    source = getattr(module, "SOURCE", None)
    if not callable(getattr(source, "parse", None)):
        raise SettingsError(f"{path}: it has no object SOURCE with a method parse")
    name = getattr(source, "name", None) or path.stem.replace("_", "-").lower()
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise SettingsError(f"{path}: name: use a-z, 0-9, `.`, `_` and `-`, 64 at most")
    assert source is not None
    return Own(name, source)
