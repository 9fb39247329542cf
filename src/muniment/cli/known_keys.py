"""The verifier keys of logs met before, as SSH keeps known hosts: one key a line.

The first key seen of an origin is kept; another one for the same origin is refused from then on.
"""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from pathlib import Path

from muniment.cli.options import config_directory
from muniment.errors import EvidenceError, InputError, SettingsError
from muniment.log.note import Verifier

MAX_BYTES = 16 << 20


class KeyChanged(EvidenceError):
    """A log that is known under one key shows another."""

    slug = "key-changed"


def known_keys_file() -> Path:
    """Returns $XDG_CONFIG_HOME/muniment/known_keys."""
    return config_directory() / "known_keys"


def read_known_keys(path: Path) -> list[Verifier]:
    """Returns the keys of the file, none where there is no file.

    Raises SettingsError naming the line that is no key, OSError where it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_BYTES)
    except FileNotFoundError:
        return []
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            keys.append(Verifier.parse(line))
        except InputError as error:
            raise SettingsError(f"{path}, line {number}: {error.detail}") from error
    return keys


def keys_of(origin: str, keys: Sequence[Verifier]) -> list[Verifier]:
    """Returns those of `keys` that are of this origin."""
    return [key for key in keys if key.name == origin]


def check_shown(shown: Verifier, keys: Sequence[Verifier], where: Path) -> bool:
    """Says whether the key that a log shows is known. Raises KeyChanged where another one is."""
    known = keys_of(shown.name, keys)
    if known and shown not in known:
        raise KeyChanged(
            f"THE KEY OF {shown.name} HAS CHANGED: the log shows {shown}, but {where} knows "
            f"{known[0]}. Either somebody stands in for the log, or it was set up anew. Only if "
            "you know that it was: remove that line and try again"
        )
    return bool(known)


def remember(shown: Verifier, path: Path) -> None:
    """Adds a key that is not known yet. Raises KeyChanged, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not check_shown(shown, read_known_keys(path), path):
            file.seek(0)
            text = file.read()
            newline = "\n" if text and not text.endswith("\n") else ""
            file.write(f"{newline}{shown}\n")


def given_keys(values: Sequence[str]) -> list[Verifier]:
    """Returns the keys of --key: each value is a key, several a line each, or a file of them.

    Raises SettingsError for what is neither.
    """
    keys: list[Verifier] = []
    for value in values:
        try:
            keys.extend(Verifier.parse(line) for line in value.split("\n") if line.strip())
        except InputError as error:
            path = Path(value)
            if "\n" in value or len(value) > 4096 or not path.is_file():
                raise SettingsError(
                    f"{value[:200]!r} is neither a verifier key (NAME+ID+KEY: {error.detail}) "
                    "nor a file with one"
                ) from error
            found = read_known_keys(path)
            if not found:
                raise SettingsError(f"{path} holds no verifier key") from error
            keys.extend(found)
    return keys
