"""The view over all regions: what is where, from what members say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from muniment.api import Context
from muniment.errors import LogElsewhere, UnknownLog
from muniment.fleet import Member, ShardState, State
from muniment.fleet.everywhere import kept_everywhere
from muniment.settings import Role


def member(name: str, role: Role, shards: dict[str, int], **more: Any) -> Member:
    sizes = {shard: ShardState(size, "key") for shard, size in shards.items()}
    return Member(
        node=name, url=f"https://{name}.test:1", roles=(role,), shards={"payments": sizes}, **more
    )


EU = {"residency": {"payments": "eu"}, "jurisdiction": "eu"}
FLEET = [
    member("i1", Role.INGEST, {"s1": 10}, **EU),
    member("i2", Role.INGEST, {"s2": 5}, **EU),
    member("q1", Role.QUERY, {"s1": 9, "s2": 5}, **EU),
    member("q2", Role.QUERY, {"s1": 10}, **EU, state=State.LOST),
    member("i3", Role.INGEST, {"s3": 7}, **EU, state=State.LEFT),
]


def test_a_log_is_where_its_nodes_are_and_as_large_as_anybody_knows() -> None:
    kept = kept_everywhere(FLEET)["payments"]
    assert (kept.residency, kept.entries, sorted(kept.sizes)) == ("eu", 22, ["s1", "s2", "s3"])
    assert kept.places == ["https://q1.test:1"]
    assert kept_everywhere(FLEET[:2])["payments"].places == [
        "https://i1.test:1",
        "https://i2.test:1",
    ]


class Known:
    def members(self) -> list[Member]:
        return FLEET


def test_who_asks_in_the_wrong_place_is_told_the_right_one() -> None:
    context = Context.__new__(Context)
    context.logs, context.membership = {"default": {}}, Known()  # type: ignore[assignment]
    assert context.shards("default") == {}
    with pytest.raises(LogElsewhere, match=r"kept in eu: ask https://q1\.test:1") as told:
        context.shards("payments")
    assert told.value.status == 421
    with pytest.raises(UnknownLog):
        context.shards("other")
