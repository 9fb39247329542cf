"""The log: entries, frames, segments, the Merkle tree, checkpoints, proofs, verification."""

from __future__ import annotations

from muniment.log.batch import Acknowledgement, Batch
from muniment.log.reader import Run, ShardReader
from muniment.log.shard import Shard
from muniment.log.writer import Health

__all__ = ["Acknowledgement", "Batch", "Health", "Run", "Shard", "ShardReader"]
