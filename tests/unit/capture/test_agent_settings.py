"""The agent's configuration: what is wrong is named with its key and its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.keys import redaction_key, signer
from muniment.capture.places import line_of
from muniment.capture.settings import AgentSettings, load
from muniment.errors import SettingsError

TOP = """\
name = "lb1"
endpoints = ["https://a.example:8470/", "https://b.example:8470"]
state = "state"
token_file = "/etc/muniment/token"
"""
TAIL = """
[[tail]]
name = "access"
as = "haproxy"
paths = ["/var/log/haproxy.log", "logs/*.log"]
"""


def read(directory: Path, text: str) -> AgentSettings:
    path = directory / "capture.toml"
    path.write_text(text)
    return load(path)


def test_a_configuration_is_read(tmp_path: Path) -> None:
    settings = read(tmp_path, TOP + 'spool_max = "64MiB"\n' + TAIL)
    assert settings.endpoints == ("https://a.example:8470", "https://b.example:8470")
    assert settings.state == tmp_path / "state"
    assert settings.token_file == Path("/etc/muniment/token")
    assert (settings.log, int(settings.spool_max)) == ("default", 64 << 20)
    (tail,) = settings.sections("tail")
    assert tail.name == "access"
    assert tail.paths == ("/var/log/haproxy.log", str(tmp_path / "logs/*.log"))  # type: ignore[attr-defined]
    assert settings.sections("haproxy") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not TOML"),
        (TOP.replace('name = "lb1"', ""), "name: this setting is needed"),
        (TOP.replace("lb1", "Not A Name"), "line 1: name: 'Not A Name' is no name"),
        (TOP.replace("https://a", "ftp://a"), "line 2: endpoints.0: 'ftp://a"),
        (TOP + "colour = 1\n", "line 5: colour: there is no such setting"),
        (TOP + "given = {}\n", "given: there is no such setting"),
        (TOP + "[tail]\nname = 'x'\n", "tail: write each as [[tail]]"),
        (TOP + TAIL.replace("as =", "is ="), "line 8: tail.0.is: there is no such setting"),
        (TOP + TAIL.replace('as = "haproxy"\n', ""), "line 6: tail.0.as: this setting is needed"),
        (TOP + TAIL + TAIL, "line 12: tail.1.name: there is another tail 'access'"),
        (TOP + TAIL + 'first_line = "("\n', "line 10: tail.0.first_line: '(' is no regular"),
        (TOP + TAIL + "idle = 0\n", "line 10: tail.0.idle: Input should be greater"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(tmp_path, text)
    assert said in str(error.value)
    assert str(tmp_path / "capture.toml") in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "missing.toml")


@pytest.mark.fuzz
@given(st.text(alphabet='[]tail.name="x1\n# ', max_size=80))
def test_any_text_has_a_line_or_none(text: str) -> None:
    for where in [("name",), ("tail", 0), ("tail", 1, "name"), ("tail", 0, "paths", 2)]:
        found = line_of(text, where)
        if found:
            assert 1 <= int(found.removeprefix("line ").rstrip(": ")) <= len(text.splitlines())


def test_the_keys_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    key = signer(state, "lb1")
    assert str(signer(state, "lb1").verifier) == str(key.verifier)
    secret = redaction_key(state)
    assert len(secret) == 32
    assert redaction_key(state) == secret
    assert {oct(path.stat().st_mode & 0o777) for path in state.iterdir()} == {"0o600"}
    with pytest.raises(SettingsError, match="is the key of 'lb1'"):
        signer(state, "lb2")
    (state / "agent.key").write_bytes(b"\xff")
    with pytest.raises(SettingsError):
        signer(state, "lb1")
    (state / "redaction.key").write_bytes(b"short")
    with pytest.raises(SettingsError, match="5 bytes"):
        redaction_key(state)
