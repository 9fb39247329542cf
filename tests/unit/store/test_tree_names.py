"""Keys are made and read back in one place, and only their one form is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.store.names import (
    Kind,
    Name,
    attachment_key,
    parse,
    policy_key,
    pruned_key,
    segment_key,
    tree_key,
    verifier_key,
)

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}[a-z0-9]", fullmatch=True).filter(
    lambda name: name not in ("attachments", "policy")
)
numbers = st.integers(0, 10**20 - 1)


@given(names, names, numbers, st.binary(min_size=32, max_size=32))
def test_a_key_is_read_back(log: str, shard: str, number: int, digest: bytes) -> None:
    made = [
        Name(Kind.VERIFIER, log, shard),
        Name(Kind.SEGMENT, log, shard, number),
        Name(Kind.TREE, log, shard, number),
        Name(Kind.PRUNED, log, shard, number),
        Name(Kind.ATTACHMENT, log, digest=digest),
        Name(Kind.POLICY, log, number=number),
    ]
    for name in made:
        assert parse(name.key) == name


def test_keys_are_what_the_reference_says() -> None:
    assert verifier_key("edge", "ab") == "logs/edge/ab/verifier"
    assert segment_key("edge", "ab", 7) == "logs/edge/ab/00000000000000000007.seg"
    assert tree_key("edge", "ab", 7) == "logs/edge/ab/00000000000000000007.tree"
    assert pruned_key("edge", "ab", 7) == "logs/edge/ab/pruned/00000000000000000007"
    assert policy_key("edge", 1) == "logs/edge/policy/00000000000000000001.json"
    digest = bytes(range(32))
    assert attachment_key("edge", digest) == f"logs/edge/attachments/00/{digest.hex()}"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "logs",
        "logs/",
        "logs/edge",
        "logs/edge/ab",
        "logs/edge/ab/",
        "logs/edge/ab/other",
        "logs/edge/ab/7.seg",
        "logs/edge/ab/+0000000000000000007.tree",
        "logs/edge/ab/verifier/x",
        "logs/edge/ab/pruned/7",
        "logs/EDGE/ab/verifier",
        "logs/../ab/verifier",
        "logs/edge/attachments/01/" + "00" * 32,
        "logs/edge/attachments/00/" + "0A" * 32,
        "logs/edge/policy/1.json",
        "logs/edge/policy/00000000000000000001",
        "wal/edge/ab/verifier",
    ],
)
def test_other_keys_are_none(key: str) -> None:
    assert parse(key) is None


@pytest.mark.fuzz
@given(st.text(max_size=80), st.booleans())
def test_what_is_read_is_the_one_form(text: str, log: bool) -> None:
    key = f"logs/{text}" if log else text
    name = parse(key)
    assert name is None or name.key == key
