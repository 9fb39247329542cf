"""The log: entries, frames, segments, the Merkle tree, checkpoints, proofs, verification."""

from __future__ import annotations

from muniment.log.batch import Acknowledgement, Batch
from muniment.log.health import Health
from muniment.log.reader import ShardReader
from muniment.log.runs import Run
from muniment.log.shard import Shard

__all__ = ["Acknowledgement", "Batch", "Health", "Run", "Shard", "ShardReader"]
