"""The reference says all that there is, and nothing that there is not."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import urlopen

import click
import pyarrow as pa
import pytest
from pydantic import ByteSize, TypeAdapter

from muniment.cli import main
from muniment.cli.serve import serve
from muniment.cli.tokens import tokens
from muniment.errors import MunimentError, QueryError
from muniment.event.decode import decode
from muniment.event.schema import SCHEMA
from muniment.event.source import sources
from muniment.query import field
from muniment.query.condition import check
from muniment.query.parser import parse
from muniment.settings import (
    PREFIX,
    Durability,
    FleetSettings,
    Listener,
    Protocol,
    Retention,
    Settings,
    StoreSettings,
    WalSettings,
)
from muniment.settings.store import Duration
from tests.docs.test_pages import SERVE
from tests.docs.transcript import Reader, free_port

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
SAMPLES = ROOT / "tests" / "data"
WITH_ERRORS = (
    *("muniment.errors", "muniment.api.problems", "muniment.api.app", "muniment.index"),
    "muniment.access",
)
"""Modules whose errors a server can answer; those of the command line stay there."""

EVERY_KIND = [
    {"protocol": "syslog", "listen": "127.0.0.1:0"},
    {"protocol": "forward", "listen": "127.0.0.1:0"},
    {"protocol": "grpc", "listen": "127.0.0.1:0"},
    {"protocol": "http", "listen": "127.0.0.1:0"},
    {"protocol": "kafka", "brokers": "127.0.0.1:1", "topics": ["edge"]},
]
"""Listeners that show all metrics that there are."""

Row = list[str]


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    after = text.split(f"\n{heading}\n", 1)
    assert len(after) == 2, f"there is no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", after[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, first: str) -> Iterator[Row]:
    """The rows of all tables whose first column is headed `first`; cells without white space."""
    inside = False
    for line in text.splitlines():
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if not line.lstrip().startswith("|"):
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not re.fullmatch(r":?-+:?", cells[0]):
            yield cells


def quoted(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def names(text: str, first: str) -> list[str]:
    found = [quoted(row[0])[0] for row in rows(text, first)]
    assert len(set(found)) == len(found), "something is documented twice"
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a running server says of itself."""
    listen, syslog = (f"127.0.0.1:{free_port()}" for _ in range(2))
    variables = {
        "MUNIMENT_LISTEN": listen,
        "MUNIMENT_SYSLOG": syslog,
        "MUNIMENT_RECEIVE": json.dumps(EVERY_KIND),
    }
    someone = Reader(tmp_path_factory.mktemp("server"), {}, f"http://{listen}", variables)
    someone.follow(SERVE)
    found = {}
    for path in ("/openapi.json", "/metrics"):
        with urlopen(f"http://{listen}{path}", timeout=30) as answer:
            found[path] = answer.read().decode()
    yield found
    someone.stop()


class TestSettings:
    text = page("settings.md")
    documented: ClassVar = {quoted(row[0])[0]: row for row in rows(text, "key")}

    def test_every_setting_is_documented_and_no_other(self) -> None:
        assert sorted(names(self.text, "key")) == sorted(Settings.model_fields)

    @pytest.mark.parametrize("key", Settings.model_fields)
    def test_variable_flag_default_and_bounds_are_right(self, key: str) -> None:
        _, variable, flag, default, bounds, _ = self.documented[key]
        setting = Settings.model_fields[key]
        flags = {option.name: option.opts[0] for option in serve.params}
        assert quoted(variable) == [f"{PREFIX}{key.upper()}"]
        assert quoted(flag) == ([flags[key]] if key in flags else [])
        told = quoted(default)
        if setting.annotation is Durability:
            assert quoted(bounds) == list(Durability)
            assert told == [setting.default]
            return
        limits = [
            _value(setting.annotation, text)
            for text in quoted(bounds)
            if text not in self.documented and text not in _WORDS
        ]
        if told:
            assert _value(setting.annotation, told[0]) == setting.get_default(
                call_default_factory=True
            )
        else:
            assert setting.default is None or setting.default_factory is not None
        given = [
            getattr(bound, side)
            for bound in setting.metadata
            for side in ("ge", "gt", "le", "lt")
            if getattr(bound, side, None) is not None
        ]
        assert limits == given

    def test_every_key_of_a_listener_is_documented_and_no_other(self) -> None:
        there = {field.alias or name: field for name, field in Listener.model_fields.items()}
        told = {quoted(row[0])[0]: row for row in rows(self.text, "listener key")}
        assert sorted(names(self.text, "listener key")) == sorted(there)
        for key, (_, default, bounds, _) in told.items():
            if there[key].annotation in (bool, int, float, tuple[str, ...]):
                assert quoted(default) == [_shown(there[key].default)], key
            if there[key].annotation is Protocol:
                assert quoted(bounds) == list(Protocol)

    def test_every_key_of_a_store_and_of_a_retention_is_documented_and_no_other(self) -> None:
        there = StoreSettings.model_fields | WalSettings.model_fields
        told = {quoted(row[0])[0]: row for row in rows(self.text, "store key")}
        assert sorted(names(self.text, "store key")) == sorted(there)
        for key, (_, default, _, _) in told.items():
            if quoted(default):
                assert _value(there[key].annotation, quoted(default)[0]) == there[key].default
        assert sorted(names(self.text, "retention key")) == sorted(Retention.model_fields)

    def test_every_key_of_a_fleet_is_documented_and_no_other(self) -> None:
        there = FleetSettings.model_fields
        told = {quoted(row[0])[0]: row for row in rows(self.text, "fleet key")}
        assert sorted(names(self.text, "fleet key")) == sorted(there)
        for key in ("heartbeat", "lost_after"):
            assert quoted(told[key][1]) == [f"{there[key].default:g}"], key

    def test_the_example_can_be_used(self) -> None:
        example = re.findall(r"```toml\n(.*?)```", self.text, re.DOTALL)[0]
        Settings(**tomllib.loads(example)).check_exposure()


def _bytes(text: str) -> int:
    return int(TypeAdapter(ByteSize).validate_python(text))


_WORDS = ("off", "replicated", "logs")
"""Bounds that are no numbers."""


def _value(kind: object, text: str) -> object:
    """What a documented default or bound means for a setting of this kind."""
    if kind in (ByteSize, ByteSize | None):
        return _bytes(text)
    if kind in (timedelta, timedelta | None):
        return TypeAdapter(Duration).validate_python(text)
    return int(text) if text.isdigit() and kind in (int, float) else _Told(text)


class _Told(str):
    """A documented value; equal to what is written like that."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str(self) == _shown(other)

    __hash__ = str.__hash__


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, dict):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield f"{prefix}{name}", command
            yield from _commands(command, f"{prefix}{name} ")
        elif command is not None:
            yield f"{prefix}{name}", command


COMMANDS = dict(_commands(main))


class TestCommandLine:
    text = page("cli.md")

    def test_every_command_is_documented_and_no_other(self) -> None:
        assert re.findall(r"^## muniment (.+)$", self.text, re.MULTILINE) == list(COMMANDS)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_option_is_documented_and_no_other(self, name: str) -> None:
        part = section(self.text, f"## muniment {name}")
        options = {p.name: p for p in COMMANDS[name].params if isinstance(p, click.Option)}
        told = [re.findall(r"(?<!\S)--?[a-z-]+", quoted(row[0])[0]) for row in rows(part, "option")]
        assert sorted(told) == sorted(option.opts for option in options.values())
        assert "Exit codes:" in part

    def test_it_names_no_option_that_there_is_not(self) -> None:
        known = {opt for command in COMMANDS.values() for p in command.params for opt in p.opts}
        known |= {opt for p in main.params for opt in p.opts} | {"--help"}
        known |= {opt for p in tokens.params for opt in p.opts}
        assert set(re.findall(r"`(?:muniment [^`]*?)?(--[a-z-]+)", self.text)) <= known

    @pytest.mark.parametrize("name", COMMANDS)
    def test_defaults_are_right(self, name: str) -> None:
        part = section(self.text, f"## muniment {name}")
        by_name = {opt: p for p in COMMANDS[name].params for opt in p.opts}
        for told, default, _ in rows(part, "option"):
            option = by_name[re.findall(r"--[a-z-]+", told)[0]]
            for text in quoted(default):
                assert text == _shown(option.default)


class TestHttp:
    text = page("http.md")

    def test_every_endpoint_is_documented_and_no_other(self, answers: dict[str, str]) -> None:
        document = json.loads(answers["/openapi.json"])
        there = {
            f"{method.upper()} {path}"
            for path, operations in document["paths"].items()
            for method in operations
        }
        assert set(re.findall(r"^### `([A-Z]+ /[^`]*)`$", self.text, re.MULTILINE)) == there

    def test_every_parameter_is_named_where_it_is_taken(self, answers: dict[str, str]) -> None:
        document = json.loads(answers["/openapi.json"])
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                part = section(self.text, f"### `{method.upper()} {path}`")
                taken = {one["name"] for one in operation.get("parameters", [])} | _members(
                    operation
                )
                told = {word.partition("=")[0] for word in quoted(part)}
                assert taken <= told, f"{method} {path}"
                table = set(names(part, "parameter"))
                assert table in (set(), taken), f"{method} {path}"

    def test_every_problem_is_documented_and_no_other(self) -> None:
        for name in WITH_ERRORS:
            importlib.import_module(name)
        there = {
            (kind.slug, str(kind.status))
            for kind in _tree(MunimentError)
            if kind.__module__.startswith(WITH_ERRORS)
        }
        assert {(quoted(row[0])[0], row[1]) for row in rows(self.text, "slug")} == there

    def test_the_settings_that_it_names_exist(self) -> None:
        named = [
            quoted(row[2]) for row in rows(section(self.text, "## Limits of a connection"), "")
        ]
        assert named
        assert {name for cell in named for name in cell} <= set(Settings.model_fields)


def _members(operation: dict[str, Any]) -> set[str]:
    """The members of a JSON body."""
    content = operation.get("requestBody", {}).get("content", {})
    return set(content.get("application/json", {}).get("schema", {}).get("properties", {}))


def _tree(kind: type[MunimentError]) -> Iterator[type[MunimentError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def test_every_metric_is_documented_and_no_other(answers: dict[str, str]) -> None:
    there = dict(re.findall(r"^# TYPE (\S+) (\S+)$", answers["/metrics"], re.MULTILINE))
    told = {quoted(row[0])[0]: row[1] for row in rows(page("metrics.md"), "metric")}
    assert told == there


def _leaves(name: str, kind: pa.DataType, listed: str = "") -> Iterator[tuple[str, str]]:
    if pa.types.is_struct(kind):
        for child in kind:
            yield from _leaves(f"{name}.{child.name}", child.type, listed)
    elif pa.types.is_list(kind):
        yield from _leaves(name, kind.value_type, "list of ")
    else:
        word = {"string": "text", "bool": "boolean"}.get(str(kind), str(kind).partition("[")[0])
        yield name, listed + word


class TestEvents:
    text = page("events.md")

    def test_every_column_is_documented_with_its_type_and_no_other(self) -> None:
        there = dict(leaf for column in SCHEMA for leaf in _leaves(column.name, column.type))
        assert len(names(self.text, "column")) == len(there)
        assert {quoted(row[0])[0]: row[1] for row in rows(self.text, "column")} == there

    @pytest.mark.parametrize("source", ["haproxy", "nginx"])
    def test_what_a_source_fills_is_said_to_be_filled_by_it(self, source: str) -> None:
        header = b'{"at":"2026-11-21T06:00:00.000000Z","as":"%s"}\n' % source.encode()
        files = sorted((SAMPLES / source).glob("*.log"))
        lines = [line for file in files for line in file.read_bytes().split(b"\n") if line]
        table = decode([header + line for line in lines], log="l", shard="s", first=0)
        filled = {name for column in table.column_names for name in _filled(table, column)}
        assert len(filled) > 30
        said = {quoted(row[0])[0]: row[3] for row in rows(self.text, "column")}
        missing = {n for n in filled if source not in said[n] and said[n] != "every entry"}
        assert missing == set()


def _filled(table: pa.Table, column: str) -> Iterator[str]:
    def walk(name: str, value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(f"{name}.{key}", inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(name, inner)
        elif value is not None:
            yield name

    for value in table.column(column).to_pylist():
        yield from walk(column, value)


class TestQueries:
    text = page("queries.md")
    accepted: ClassVar = [quoted(row[0])[0] for row in rows(text, "query")]
    refused: ClassVar = [
        quoted(row[0])[0] for row in rows(section(text, "### What is refused"), "refused")
    ]

    def test_there_are_examples(self) -> None:
        assert len(self.accepted) > 20 and len(self.refused) > 5

    @pytest.mark.parametrize("query", accepted)
    def test_an_example_is_a_query(self, query: str) -> None:
        check(parse(query))

    @pytest.mark.parametrize("query", refused)
    def test_what_is_said_to_be_refused_is(self, query: str) -> None:
        with pytest.raises(QueryError):
            check(parse(query))

    def test_the_short_names_are_right(self) -> None:
        there = {
            name: sorted({path.dotted for path in known.paths})
            for name, known in field.FIELDS.items()
            if [path.dotted for path in known.paths] != [name]
        }
        told = {quoted(row[0])[0]: sorted(quoted(row[1])) for row in rows(self.text, "short")}
        assert told == there

    def test_the_words_for_numbers_are_right(self) -> None:
        there = {n: list(f.names) for n, f in field.FIELDS.items() if f.names and "_" in n}
        told = {quoted(row[0])[0]: quoted(row[1]) for row in rows(self.text, "field")}
        assert told == there

    def test_free_text_fields_are_right(self) -> None:
        kinds = {row[0]: quoted(row[1]) for row in rows(self.text, "kind")}
        for word, kind in (("free text", field.Kind.PROSE), ("boolean", field.Kind.BOOLEAN)):
            there = {f.name for f in field.FIELDS.values() if f.kind is kind and f.name != "raw"}
            assert set(kinds[word]) == there - {"error"}

    def test_the_grammar_is_the_parsers(self) -> None:
        grammar = re.findall(r"```\n(query   = .*?)```", self.text, re.DOTALL)[0]
        module = inspect.getdoc(sys.modules["muniment.query.parser"]) or ""
        for line in grammar.strip().splitlines():
            assert line in module


class TestSources:
    text = page("sources.md")

    def test_every_source_is_documented_and_no_other(self) -> None:
        told = {name for row in rows(self.text, "source") for name in quoted(row[0])}
        assert told == {n for n, p in sources().items() if p.value.startswith("muniment.")}

    def test_the_example_is_found_and_reads_its_lines(self, tmp_path: Path) -> None:
        _install(self.text, tmp_path)
        script = (
            "import json, sys; from muniment.event.decode import decode\n"
            'h = b\'{"at":"2026-11-21T06:00:00.000000Z","as":"doorman"}\\n\'\n'
            "entries = [h + line for line in sys.stdin.buffer.read().split(b'\\n')]\n"
            "table = decode(entries, log='l', shard='s', first=0)\n"
            "print(json.dumps(table.to_pylist(), default=str))\n"
        )
        lines = "2026-11-20T23:06:18Z 203.0.113.9 GET /checkout 502\nsomething else"
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=lines,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        good, bad = json.loads(done.stdout)
        assert (good["class_uid"], good["activity_id"], good["status_id"]) == (4002, 3, 2)
        assert good["time_dt"] == "2026-11-20 23:06:18+00:00"
        assert good["src_endpoint"]["ip"] == "203.0.113.9"
        assert good["http_request"]["url"]["path"] == "/checkout"
        assert good["http_response"]["code"] == 502
        assert good["parse_error"] is None
        assert (bad["class_uid"], bad["parse_error"]) == (0, "not a line of Doorman")
        assert bad["time_dt"] == "2026-11-21 06:00:00+00:00"


def _install(text: str, folder: Path) -> None:
    """Puts the example of the page where Python finds it, as an installer would."""
    project = tomllib.loads(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])["project"]
    module = re.findall(r"^`(\w+\.py)`:$", text, re.MULTILINE)[0]
    (folder / module).write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    name, version = project["name"], project["version"]
    meta = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in members.items())
        for group, members in project["entry-points"].items()
    ]
    (meta / "entry_points.txt").write_text("\n".join(points))


def test_every_page_of_the_reference_is_in_its_index() -> None:
    for folder in (REFERENCE, ROOT / "docs" / "explanation", ROOT / "docs" / "how-to"):
        listed = re.findall(r"\]\(([a-z-]+\.md)\)", (folder / "README.md").read_text())
        assert sorted([*listed, "README.md"]) == sorted(p.name for p in folder.glob("*.md"))
