"""Change events say what differs, once, and nothing where nothing does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.change import change, differences, record
from muniment.capture.redaction import names_secret, redactor, without_secrets
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.errors import InputError

NAME = "haproxy:lb1/server/web/w2"
NOW, BEFORE = "2026-11-21T10:00:05.000000Z", "2026-11-21T10:00:00.000000Z"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
states = st.dictionaries(st.text(max_size=4), json_values, max_size=4)


def test_an_update_says_what_was_and_what_is() -> None:
    old, new = Snapshot({"weight": 100, "address": "a"}), Snapshot({"weight": 50, "address": "a"})
    event = change(NAME, old, new, time=NOW, since=BEFORE)
    assert event == {
        "object": NAME,
        "change": "update",
        "time": NOW,
        "since": BEFORE,
        "version": new.version,
        "previous": old.version,
        "fields": [{"path": "/weight", "before": 100, "after": 50}],
        "state": {"weight": 50, "address": "a"},
    }


def test_first_sight_creation_and_deletion_are_told_apart() -> None:
    one = Snapshot({"weight": 1}, where={"server": "w2"}, by={"user": "ann"})
    first = change(NAME, None, one, time=NOW)
    made = change(NAME, None, one, time=NOW, since=BEFORE)
    gone = change(NAME, one, None, time=NOW, since=BEFORE)
    assert first and made and gone
    assert [event["change"] for event in (first, made, gone)] == ["observe", "create", "delete"]
    assert "since" not in first
    assert "state" not in gone and "version" not in gone
    assert gone["previous"] == one.version
    assert gone["where"] == {"server": "w2"}
    assert made["by"] == {"user": "ann"}
    assert "by" not in gone


def test_long_texts_are_not_repeated() -> None:
    found = list(differences({"text": "a\nb", "n": "x" * 300}, {"text": "a\nc", "n": "y"}))
    assert found == [{"path": "/n", "after": "y"}, {"path": "/text"}]


def test_members_with_slashes_are_pointers() -> None:
    found = list(differences({"a/b": {"~": 1}}, {"a/b": {"~": 2}}))
    assert found == [{"path": "/a~1b/~0", "before": 1, "after": 2}]


def test_true_is_not_one() -> None:
    assert list(differences({"a": True}, {"a": 1}))


@given(states, states)
def test_there_is_an_event_exactly_where_states_differ(old: dict, new: dict) -> None:
    before, after = Snapshot(old), Snapshot(new)
    event = change(NAME, before, after, time=NOW, since=BEFORE)
    assert (event is None) == (before.version == after.version)
    if event is not None:
        assert event["fields"]
        record(event)


@given(states)
def test_the_order_of_members_makes_no_version(state: dict) -> None:
    assert Snapshot(dict(reversed(state.items()))).version == Snapshot(state).version


@pytest.mark.parametrize(
    "text",
    ["haproxy:lb1/server/web/w2", "nginx:edge-1/file/etc/nginx/nginx.conf", "aws:prod/rule/a b:c"],
)
def test_names_are_taken_apart_and_put_together(text: str) -> None:
    assert str(ObjectName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "haproxy", "haproxy:lb1", "haproxy:lb1/server", "a:b/c/d\n", "a:b c/d/e", "x" * 2_000],
)
def test_what_names_no_object_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        ObjectName.parse(text)


def test_a_secret_is_replaced_and_its_rotation_seen() -> None:
    redact = redactor(b"k" * 32)
    old, where = without_secrets({"a": [{"password": "hunter2", "user": "ann"}]}, redact)
    new, _ = without_secrets({"a": [{"password": "hunter3", "user": "ann"}]}, redact)
    assert where == ["/a/0/password"]
    assert "hunter2" not in str(old)
    assert old != new
    assert without_secrets({"a": [{"password": "hunter2", "user": "ann"}]}, redact)[0] == old
    assert without_secrets({"password": "x"}, redactor(b"o" * 32)) != without_secrets(
        {"password": "x"}, redact
    )


@pytest.mark.parametrize(
    "name", ["password", "clientSecret", "client-secret", "api_key", "db.token"]
)
def test_names_of_secrets(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize("name", ["secretName", "tokens_per_second", "keyspace", "weight"])
def test_names_of_no_secrets(name: str) -> None:
    assert not names_secret(name)
