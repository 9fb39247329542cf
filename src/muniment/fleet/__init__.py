"""A node among others: who there is, mirrors of their shards, what happens when one is gone."""

from __future__ import annotations

from muniment.fleet.member import Member, ShardState, State
from muniment.fleet.members import Membership

__all__ = ["Member", "Membership", "ShardState", "State"]
