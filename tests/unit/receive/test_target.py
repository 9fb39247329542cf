"""Which shard takes a batch: repetitions find their own, nothing goes where nothing is taken."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from muniment.log import Acknowledgement, Batch, Health
from muniment.log.waiting import Done
from muniment.receive.target import choose


@dataclass
class FakeShard:
    name: str
    ids: set[str] = field(default_factory=set)
    writable: bool = True
    health: Health = Health()  # noqa: RUF009 (frozen)

    def knows(self, id_: str) -> bool:
        return id_ in self.ids

    def offer(self, batch: Batch, done: Done) -> None:
        raise NotImplementedError

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        raise NotImplementedError

    def batch_ids(self) -> Sequence[str]:
        return sorted(self.ids)


def of(*shards: FakeShard) -> dict[str, FakeShard]:
    return {shard.name: shard for shard in shards}


def test_the_only_shard_takes_all() -> None:
    one = FakeShard("a", writable=False)
    assert choose(of(one), None) is choose(of(one), "x") is one


def test_a_repetition_goes_to_the_shard_that_has_the_id() -> None:
    shards = of(FakeShard("a"), FakeShard("b", {"x"}), FakeShard("c"))
    assert choose(shards, "x").name == "b"


def test_one_id_goes_to_one_shard_and_ids_spread() -> None:
    shards = of(FakeShard("a"), FakeShard("b"))
    chosen = {number: choose(shards, f"id-{number}").name for number in range(32)}
    assert chosen == {number: choose(shards, f"id-{number}").name for number in range(32)}
    assert set(chosen.values()) == {"a", "b"}


def test_what_takes_nothing_any_more_is_passed_over() -> None:
    shards = of(FakeShard("a", writable=False), FakeShard("b"))
    assert {choose(shards, id_).name for id_ in (None, "x", "y", "z")} == {"b"}


def test_but_not_where_it_alone_knows_what_became_of_a_batch() -> None:
    shards = of(FakeShard("a", {"x"}, writable=False), FakeShard("b"))
    assert choose(shards, "x").name == "a"


def test_without_an_id_the_healthy_take_turns() -> None:
    shards = of(FakeShard("a"), FakeShard("b", health=Health(False, "full")), FakeShard("c"))
    assert {choose(shards, None).name for _ in range(9)} == {"a", "c"}
