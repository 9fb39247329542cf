"""Mirrors: the shards of other nodes, pulled, verified and kept here byte for byte."""

from __future__ import annotations

from muniment.fleet.mirror.follow import Mirrors
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.status import MirrorState, MirrorStatus

__all__ = ["MirrorState", "MirrorStatus", "MirroredShard", "Mirrors"]
