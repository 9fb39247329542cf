"""The reference of the agent has every key of its configuration, and no other."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from muniment.capture.section import KINDS, Section
from muniment.capture.settings import AgentSettings, load
from tests.docs.test_reference import page, quoted, rows, section

TEXT = page("capture.md")


def settings_of(kind: str) -> type[Section]:
    """The class of a kind's sections; the test is skipped where its extra is not installed."""
    module = pytest.importorskip(KINDS[kind])
    found: type[Section] = module.Settings
    return found


def told(heading: str) -> dict[str, list[str]]:
    """The rows below a heading by their keys."""
    return {quoted(row[0])[0]: row for row in rows(section(TEXT, heading), "key")}


def test_every_key_at_the_top_is_documented_and_no_other() -> None:
    there = set(AgentSettings.model_fields) - {"given"}
    assert set(told("## At the top of the file")) == there


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_section_is_documented_and_no_other(kind: str) -> None:
    fields = settings_of(kind).model_fields
    there = {field.alias or name: field for name, field in fields.items()}
    found = told(f"## {kind}")
    assert set(found) == set(there)
    for key, row in found.items():
        default = there[key].default
        if there[key].is_required() or default is PydanticUndefined:
            continue
        if isinstance(default, (bool, int, float)):
            assert quoted(row[1]) == [
                f"{default:g}" if type(default) is float else str(default).lower()
            ]


def test_the_example_can_be_used(tmp_path: Path) -> None:
    example = TEXT.split("```toml\n", 1)[1].split("```", 1)[0]
    assert tomllib.loads(example)["name"] == "lb1"
    path = tmp_path / "capture.toml"
    path.write_text(example)
    settings = load(path)
    assert [one.name for one in settings.sections("tail")] == ["haproxy-access"]


def test_every_action_that_the_agent_notes_is_in_the_table() -> None:
    import re

    source = Path(import_module("muniment.capture").__file__ or "").parent
    noted = {
        action
        for path in source.rglob("*.py")
        for action in re.findall(r'"(capture\.[a-z_]+)"', path.read_text())
    }
    in_table = {name for row in rows(TEXT, "action") for name in quoted(row[0])}
    assert noted - in_table == set()
