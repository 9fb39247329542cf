"""The reference of the edge has every key of a description, and no other."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import ByteSize
from pydantic_core import PydanticUndefined

from muniment.edge.description import Description
from muniment.edge.parts import (
    Allow,
    Cache,
    Front,
    Limits,
    Log,
    Members,
    Node,
    OwnLog,
    Stream,
    Table,
    Tls,
)
from tests.docs.test_reference import page, quoted, rows, section

TABLES: dict[str, type[Table]] = {
    "listen": Front,
    "tls": Tls,
    "node": Node,
    "members": Members,
    "log": Log,
    "stream": Stream,
    "limits": Limits,
    "allow": Allow,
    "cache": Cache,
    "own_log": OwnLog,
}
TEXT = page("edge.md")


def told(heading: str) -> dict[str, list[str]]:
    """The rows below a heading by their keys."""
    return {quoted(row[0])[0]: row for row in rows(section(TEXT, heading), "key")}


def test_every_table_and_key_at_the_top_is_documented_and_no_other() -> None:
    at_the_top = set(told("## At the top of the file"))
    assert at_the_top | set(TABLES) == set(Description.model_fields)


@pytest.mark.parametrize("name", TABLES)
def test_every_key_of_a_table_is_documented_and_no_other(name: str) -> None:
    found = told(f"## {name}")
    fields = TABLES[name].model_fields
    assert set(found) == set(fields)
    for key, row in found.items():
        default = fields[key].default
        if fields[key].is_required():
            assert row[1] == "required"
        elif isinstance(default, (bool, int, float, str, ByteSize)) and default != "":
            shown = f"{default:g}" if type(default) is float else str(default).lower()
            if isinstance(default, int) and not isinstance(default, bool):
                shown = str(int(default))
            assert quoted(row[1]) == [shown]
        else:
            assert default is PydanticUndefined or not default or quoted(row[1])


def test_the_example_can_be_used() -> None:
    example = TEXT.split("```toml\n", 1)[1].split("```", 1)[0]
    description = Description.model_validate(tomllib.loads(example))
    assert [node.name for node in description.nodes("ingest")] == ["n1"]
    guide = page("../how-to/edge.md").split("## Describe the fleet")[1]
    example = guide.split("```toml\n", 1)[1].split("```", 1)[0]
    assert len(Description.model_validate(tomllib.loads(example)).node) == 2
