"""`muniment tokens --file`: the tokens of a fleet, made where no server is asked."""

from __future__ import annotations

import json
from pathlib import Path

from muniment.access import Scope
from muniment.access.tokens import Tokens

from .conftest import Run


def test_made_listed_and_revoked_in_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    options = ("--log", "edge")
    shown = run("tokens", "--file", file, "create", "lb", *options).stdout.strip()
    admin = run("tokens", "--file", file, "create", "ops", "--scope", "admin").stdout.strip()
    assert file.stat().st_mode & 0o777 == 0o600
    tokens = Tokens.open(file)
    assert (tokens.authenticate(shown).name, tokens.authenticate(shown).log) == ("lb", "edge")
    assert tokens.authenticate(admin).scopes == {Scope.ADMIN}

    listed = json.loads(run("tokens", "--file", file, "list", "--json").stdout)
    assert [(one["name"], one["scopes"], one["log"]) for one in listed] == [
        ("lb", ["write"], "edge"),
        ("ops", ["admin"], ""),
    ]
    assert shown not in run("tokens", "--file", file, "list").stdout
    assert run("tokens", "--file", file, "revoke", listed[1]["id"]).exit_code == 0
    assert [record.name for record in Tokens.open(file).records] == ["lb"]


def test_what_cannot_be_done_says_why_and_changes_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    for arguments in (("list",), ("revoke", "00000000")):
        found = run("tokens", "--file", file, *arguments)
        assert found.exit_code == 2 and "there is no file" in found.output
    run("tokens", "--file", file, "create", "lb")
    before = file.read_bytes()
    for arguments, says in (
        (("revoke", "00000000"), "there is no token"),
        (("create", "local"), "is no name for a token"),
        (("create", "a b"), "is no name for a token"),
        (("create", "x", "--scope", "read", "--log", "edge"), "for one log"),
    ):
        found = run("tokens", "--file", file, *arguments)
        assert found.exit_code == 2 and says in found.output
    assert file.read_bytes() == before
    file.write_bytes(before[:-9])
    assert run("tokens", "--file", file, "create", "y").exit_code == 2
    assert file.read_bytes() == before[:-9]
    nowhere = tmp_path / "nowhere" / "tokens.json"
    assert "no folder" in run("tokens", "--file", nowhere, "create", "y").output


def test_no_server_is_asked(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    made = run("tokens", "--file", file, "create", "lb", "--url", "http://127.0.0.1:1")
    assert made.exit_code == 0
