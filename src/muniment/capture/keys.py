"""The agent's secrets: the key that signs heads, and the key that redacted values are under.

Both are made when they are needed first, readable by their owner alone, and never leave the host.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from muniment.errors import MunimentError, SettingsError
from muniment.log.disk import PosixDisk, write_file
from muniment.log.note import Signer, Verifier

SIGNING = "agent.key"
REDACTION = "redaction.key"
REDACTION_BYTES = 32


def signer(state: Path, name: str, randomness: Callable[[int], bytes] = os.urandom) -> Signer:
    """Returns the key that signs for the agent of this name.

    Raises SettingsError where the key there is another agent's, or none.
    """
    found = _signer(state, name)
    if found is None:
        found = Signer.generate(name, randomness)
        _write(state / SIGNING, f"{found.export()}\n".encode())
    return found


def verifier(state: Path, name: str) -> Verifier:
    """Returns the public key of the agent of this name. Raises SettingsError where there is none.

    Makes nothing: a key that did not sign yet vouches for nothing.
    """
    found = _signer(state, name)
    if found is None:
        raise SettingsError(f"{state / SIGNING}: there is none: the agent has not run here")
    return found.verifier


def _signer(state: Path, name: str) -> Signer | None:
    path = state / SIGNING
    data = _read(path)
    if data is None:
        return None
    try:
        found = Signer.parse(data.decode("ascii"))
    except (MunimentError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if found.verifier.name != name:
        raise SettingsError(
            f"{path} is the key of {found.verifier.name!r}, and `name` is {name!r}: an agent of "
            "another name has a state directory of its own"
        )
    return found


def redaction_key(state: Path, randomness: Callable[[int], bytes] = os.urandom) -> bytes:
    """Returns the key of `redaction.redactor`, 32 bytes. Raises SettingsError."""
    path = state / REDACTION
    data = _read(path)
    if data is None:
        data = randomness(REDACTION_BYTES)
        _write(path, data)
    if len(data) != REDACTION_BYTES:
        raise SettingsError(f"{path}: {len(data)} bytes, and not {REDACTION_BYTES}")
    return data


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(PosixDisk(), path, data, 0o600)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
