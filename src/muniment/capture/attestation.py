"""The agent's word for a change event: a signed note, so that a state can be known as captured.

Whoever may write into a log can write an event that looks like a change, under any name of a
stream. Only the agent has its key. The note (C2SP signed-note v1.0.0) stands in the event as the
member `note`; its text is

    muniment.dev/change/v1
    <agent>
    {"change":"update","object":"haproxy:lb1/server/web/w2","time":"...","version":"<SHA-256>"}

with the event's own members, the version empty for a deleted object. The version is the digest of
the state, and the time is signed so that an old event cannot be told as a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from muniment.capture.snapshot import Json, version_of
from muniment.errors import InputError, SignatureInvalid
from muniment.log.note import Note, Signer, Verifier

VERSION = "muniment.dev/change/v1"
"""The first line of a note about a change."""

_SIGNED = ("change", "object", "time", "version")


def attested(event: Mapping[str, Json], signer: Signer) -> dict[str, Json]:
    """Returns a change event with the note of the agent whose key it is."""
    said = {key: event.get(key, "") for key in _SIGNED}
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()
    note = signer.sign(f"{VERSION}\n{signer.verifier.name}\n{text}\n")
    state = {"state": event["state"]} if "state" in event else {}
    return {**{k: v for k, v in event.items() if k != "state"}, "note": note, **state}


def check(note: object, object_: str, state: object, key: Verifier) -> dict[str, str]:
    """Returns what a note says (`change`, `object`, `time`, `version`) if it vouches for a state.

    `state` is None for an object that is not there. Raises SignatureInvalid where the note is not
    that agent's, or is about another object or another state.
    """
    if not isinstance(note, str) or not note:
        raise SignatureInvalid("it has no signature of an agent")
    try:
        parsed = Note.parse(note)
    except InputError as error:
        raise SignatureInvalid(f"its signature cannot be read: {error.detail}") from error
    parsed.check([key])
    said = _said(parsed.text, key.name)
    if said["object"] != object_:
        raise SignatureInvalid(f"what is signed is {said['object'][:200]}")
    if said["version"] != _version(state) or (state is None) != (said["change"] == "delete"):
        raise SignatureInvalid("its state is not the one that was signed")
    return said


def _said(text: str, agent: str) -> dict[str, str]:
    lines = text.split("\n")
    try:
        said: Any = orjson.loads(lines[2]) if len(lines) == 4 else None
    except orjson.JSONDecodeError:
        said = None
    sound = isinstance(said, dict) and all(isinstance(said.get(key), str) for key in _SIGNED)
    if lines[:2] != [VERSION, agent] or not sound:
        raise SignatureInvalid("what is signed is no change")
    return {key: said[key] for key in _SIGNED}


def _version(state: object) -> str | None:
    if state is None:
        return ""
    try:
        return version_of(state) if isinstance(state, dict) else None
    except (TypeError, ValueError, RecursionError):
        return None
