"""Tokens: shown once, kept as hashes, and a file of them in which no bit can change unseen."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from muniment.access import Scope, Tokens, check_tokens
from muniment.errors import Corrupt, Forbidden, InputError, Unauthenticated


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def tokens(path: Path) -> Tokens:
    numbers = count(1)
    return Tokens.open(path, randomness=lambda size: next(numbers).to_bytes(size, "big"))


def test_a_token_names_its_caller_and_scopes(tokens: Tokens) -> None:
    token = tokens.create("shipper", [Scope.WRITE])

    caller = tokens.authenticate(token)

    assert caller.name == "shipper"
    caller.require(Scope.WRITE)
    for scope in (Scope.READ, Scope.ADMIN):
        with pytest.raises(Forbidden, match="shipper does not have the right"):
            caller.require(scope)


def test_admin_includes_the_other_rights(tokens: Tokens) -> None:
    caller = tokens.authenticate(tokens.create("root", [Scope.ADMIN]))
    for scope in Scope:
        caller.require(scope)


def test_a_secret_has_256_random_bits_and_is_not_in_the_file(path: Path) -> None:
    asked: list[int] = []

    def randomness(size: int) -> bytes:
        asked.append(size)
        return bytes([size]) * size

    token = Tokens.open(path, randomness=randomness).create("admin", [Scope.ADMIN])

    assert asked == [4, 32]
    prefix, id_, secret = token.split("_", 2)
    assert (prefix, id_, len(secret)) == ("mun", "04040404", 43)
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_tokens_survive_a_restart_and_end_when_revoked(tokens: Tokens, path: Path) -> None:
    kept = tokens.create("kept", [Scope.READ])
    gone = tokens.create("gone", [Scope.READ])

    again = Tokens.open(path)
    assert again.authenticate(kept).name == "kept"
    assert again.revoke(gone.split("_")[1])
    assert not again.revoke("ffffffff")

    with pytest.raises(Unauthenticated):
        again.authenticate(gone)
    assert [record.name for record in Tokens.open(path).records] == ["kept"]


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "mun_",
        "x" * 10_000,
        "mun_00000001_" + "A" * 43,
        "mun_ffffffff_" + "A" * 43,
        "mun_00000001_" + "A" * 42 + "\n",
        "mun_00000001_" + "é" * 43,
    ],
)
def test_what_is_no_token_of_ours_is_refused(tokens: Tokens, forged: str) -> None:
    tokens.create("admin", [Scope.ADMIN])
    with pytest.raises(Unauthenticated):
        tokens.authenticate(forged)


@pytest.mark.parametrize("name", ["", "local", "anyone", "Upper", "a b", "a" * 33, "ä", "-a"])
def test_names_that_could_be_mistaken_are_refused(tokens: Tokens, name: str) -> None:
    with pytest.raises(InputError):
        tokens.create(name, [Scope.READ])


def test_a_token_without_a_scope_is_refused(tokens: Tokens) -> None:
    with pytest.raises(InputError):
        tokens.create("nobody", [])


def test_a_sound_file_passes_the_check(tokens: Tokens, path: Path) -> None:
    tokens.create("a", [Scope.READ])
    tokens.create("b", [Scope.WRITE, Scope.READ])
    assert check_tokens(path) is None


def test_every_flipped_bit_is_found(tokens: Tokens, path: Path) -> None:
    tokens.create("a", [Scope.READ, Scope.WRITE])
    sound = path.read_bytes()
    for place in range(len(sound) * 8):
        damaged = bytearray(sound)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert check_tokens(path) is not None, place
        with pytest.raises(Corrupt):
            Tokens.open(path)


def test_every_truncation_is_found(tokens: Tokens, path: Path) -> None:
    tokens.create("a", [Scope.READ])
    sound = path.read_bytes()
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        assert check_tokens(path) is not None, length


def test_a_file_that_others_can_read_is_found(tokens: Tokens, path: Path) -> None:
    tokens.create("a", [Scope.READ])
    path.chmod(0o644)
    assert "mode" in (check_tokens(path) or "")


def test_a_missing_file_is_found(path: Path) -> None:
    assert check_tokens(path) is not None


def test_a_file_without_tokens_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    Tokens.open(path).ensure_file()
    assert check_tokens(path) is None and len(Tokens.open(path)) == 0
    Tokens.open(path).create("lb", [Scope.WRITE])
    Tokens.open(path).ensure_file()
    assert len(Tokens.open(path)) == 1
