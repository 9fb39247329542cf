"""Which versions a rollback takes: what the agent's own key signed, whatever anybody claims."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture import keys
from muniment.capture.attestation import attested, check
from muniment.capture.change import change
from muniment.capture.snapshot import Json, Snapshot, State
from muniment.errors import InputError, MunimentError, SettingsError, SignatureInvalid
from muniment.log.note import Signer
from muniment.rollback.vouched import check_version

FILE = "haproxy:lb1/file/etc/haproxy/haproxy.cfg"
AGENT = Signer("lb1", b"a" * 32)
OTHER = Signer("lb1", b"b" * 32)
GOOD: State = {"text": "global\n", "mode": "0640"}
EVIL: State = {"text": "global\n insecure-fork-wanted\n", "mode": "0640"}
TIME = "2026-11-21T10:00:00.123456Z"


def told(
    saw: State | None = GOOD, signer: Signer | None = AGENT, name: str = FILE, **given: Any
) -> dict[str, Any]:
    """A version as the API tells it, of a change that an agent saw; `given` says it otherwise."""
    before, after = Snapshot({"text": ""}), None if saw is None else Snapshot(saw)
    event = change(name, before, after, time=TIME)
    assert event is not None
    event = attested(event, signer) if signer else event
    return {
        "number": 2,
        "version": event.get("version", ""),
        "time": "2026-11-21T10:00:00.123Z",
        "state": event.get("state"),
        "note": event.get("note", ""),
        "stream": "lb1/haproxy:lb1",
        "sender": "lb1",
        **given,
    }


@pytest.mark.parametrize("state", [GOOD, None])
def test_what_the_agent_signed_is_taken(state: State | None) -> None:
    check_version(told(state), FILE, AGENT.verifier)


@pytest.mark.parametrize(
    "forged",
    [
        told(EVIL, None),
        told(EVIL, OTHER),
        told(GOOD, AGENT, state=EVIL),
        told(GOOD, AGENT, state=EVIL, version=Snapshot(EVIL).version),
        told(GOOD, AGENT, state=None, version=""),
        told(None, AGENT, state=EVIL, version=Snapshot(EVIL).version),
        told(GOOD, AGENT, "haproxy:lb1/file/etc/haproxy/other.cfg"),
        told(GOOD, AGENT, time="2026-11-21T11:00:00.000Z"),
        told(GOOD, AGENT, time="soon"),
        told(GOOD, AGENT, version=Snapshot(EVIL).version),
        told(GOOD, AGENT, note=AGENT.sign("muniment.dev/capture/v1\nlb1\n")),
        told(GOOD, AGENT, note=AGENT.sign("muniment.dev/change/v1\nlb1\n[]\n")),
        told(GOOD, AGENT, note=7),
    ],
)
def test_nothing_else_is_whatever_stream_and_sender_it_names(forged: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="does not vouch for it") as refused:
        check_version(forged, FILE, AGENT.verifier)
    assert "--any-agent" in refused.value.advice


def test_a_bounded_event_keeps_its_signature_before_its_state() -> None:
    event = change(FILE, None, Snapshot(GOOD), time=TIME)
    assert event is not None
    assert list(attested(event, AGENT))[-2:] == ["note", "state"]


def test_the_key_is_not_made_by_who_only_checks(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has not run here"):
        keys.verifier(tmp_path, "lb1")
    assert list(tmp_path.iterdir()) == []
    made = keys.signer(tmp_path, "lb1", os.urandom)
    assert keys.verifier(tmp_path, "lb1") == made.verifier
    assert (tmp_path / keys.SIGNING).stat().st_mode & 0o777 == 0o600


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.fuzz
@given(note=st.text() | json | st.text().map(lambda text: AGENT.sign(f"{text}\n")), state=json)
def test_no_other_note_vouches_for_anything(note: Json, state: Json) -> None:
    with pytest.raises(SignatureInvalid):
        check(note, FILE, state, AGENT.verifier)


@pytest.mark.fuzz
@given(cut=st.integers(0, 400), put=st.text(max_size=3))
def test_a_mutated_note_vouches_for_nothing_else(cut: int, put: str) -> None:
    good = str(told()["note"])
    mutated = good[:cut] + put + good[cut + len(put) :]
    try:
        said = check(mutated, FILE, GOOD, AGENT.verifier)
    except MunimentError:
        return
    assert said == check(good, FILE, GOOD, AGENT.verifier)
