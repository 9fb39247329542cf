"""The keys of a store's objects: made here, and read back here, nowhere else.

    logs/<log>/<shard>/verifier               the shard's public key
    logs/<log>/<shard>/<first>.seg            a segment, byte for byte the local file
    logs/<log>/<shard>/<first>.tree           its companion: see `tree`
    logs/<log>/<shard>/pruned/<minimum>       a signed note: all below `minimum` has expired
    logs/<log>/attachments/<aa>/<sha256>      an attachment by its hash, in hex
    logs/<log>/policy/<number>.json           a retention as it was set
    check/<time>-<random>                     what `worm check` tries its hands on

Numbers of entries and policies have 20 digits, so that a listing is in their order. All keys stand
below the prefix that a store's URL gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from muniment.log.segment import segment_first, segment_name
from muniment.log.shard import NAME, VERIFIER

LOGS = "logs/"
CHECKS = "check/"
PRUNED, ATTACHMENTS, POLICY = "pruned", "attachments", "policy"
TREE = ".tree"

_NUMBER = re.compile(r"[0-9]{20}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_POLICY = ".json"


class Kind(StrEnum):
    """What an object of a log is."""

    VERIFIER = "verifier"
    SEGMENT = "segment"
    TREE = "tree"
    PRUNED = "pruned"
    ATTACHMENT = "attachment"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Name:
    """What a key says. `shard` is empty for what belongs to a log as a whole.

    `number` is the first index of a segment or tree, the minimum of a `pruned` note, the number of
    a policy; `digest` (32 bytes) is that of an attachment.
    """

    kind: Kind
    log: str
    shard: str = ""
    number: int = 0
    digest: bytes = b""

    @property
    def key(self) -> str:
        """The object's key."""
        match self.kind:
            case Kind.VERIFIER:
                return verifier_key(self.log, self.shard)
            case Kind.SEGMENT:
                return segment_key(self.log, self.shard, self.number)
            case Kind.TREE:
                return tree_key(self.log, self.shard, self.number)
            case Kind.PRUNED:
                return pruned_key(self.log, self.shard, self.number)
            case Kind.ATTACHMENT:
                return attachment_key(self.log, self.digest)
            case Kind.POLICY:
                return policy_key(self.log, self.number)


def is_key_of(origin: str, log: str, shard: str) -> bool:
    """Whether a key of this name is that of a shard: its last two parts name log and shard."""
    return f"/{origin}".endswith(f"/{log}/{shard}")


def log_prefix(log: str) -> str:
    """What all keys of a log begin with."""
    return f"{LOGS}{log}/"


def shard_prefix(log: str, shard: str) -> str:
    """What all keys of a shard begin with."""
    return f"{LOGS}{log}/{shard}/"


def verifier_key(log: str, shard: str) -> str:
    """The key of a shard's public key."""
    return shard_prefix(log, shard) + VERIFIER


def segment_key(log: str, shard: str, first: int) -> str:
    """The key of the segment that begins with entry `first`."""
    return shard_prefix(log, shard) + segment_name(first)


def tree_name(first: int) -> str:
    """The last part of a companion's key."""
    return f"{first:020d}{TREE}"


def tree_first(name: str) -> int | None:
    """Returns the first index that a companion's name states, or None for other names."""
    stem = name.removesuffix(TREE)
    return int(stem) if stem != name and _NUMBER.fullmatch(stem) else None


def tree_key(log: str, shard: str, first: int) -> str:
    """The key of a segment's companion."""
    return shard_prefix(log, shard) + tree_name(first)


def pruned_key(log: str, shard: str, minimum: int) -> str:
    """The key of the note that all entries below `minimum` have expired."""
    return f"{shard_prefix(log, shard)}{PRUNED}/{minimum:020d}"


def attachments_prefix(log: str) -> str:
    """What the keys of a log's attachments begin with."""
    return f"{log_prefix(log)}{ATTACHMENTS}/"


def attachment_key(log: str, digest: bytes) -> str:
    """The key of the attachment with this SHA-256 (32 bytes)."""
    text = digest.hex()
    return f"{attachments_prefix(log)}{text[:2]}/{text}"


def policy_prefix(log: str) -> str:
    """What the keys of a log's policies begin with."""
    return f"{log_prefix(log)}{POLICY}/"


def policy_key(log: str, number: int) -> str:
    """The key of a retention as it was set."""
    return f"{policy_prefix(log)}{number:020d}{_POLICY}"


def parse(key: str) -> Name | None:
    """Returns what a key says, or None for one that is not the key of a log's object."""
    parts = key.split("/")
    if parts[0] + "/" != LOGS or not 4 <= len(parts) <= 5 or not NAME.fullmatch(parts[1]):
        return None
    log = parts[1]
    if parts[2] == ATTACHMENTS:
        return _attachment(log, parts[3:])
    if parts[2] == POLICY:
        return _policy(log, parts[3:])
    return _of_shard(log, parts[2], parts[3:]) if NAME.fullmatch(parts[2]) else None


def _attachment(log: str, rest: list[str]) -> Name | None:
    if len(rest) != 2 or not _DIGEST.fullmatch(rest[1]) or rest[0] != rest[1][:2]:
        return None
    return Name(Kind.ATTACHMENT, log, digest=bytes.fromhex(rest[1]))


def _policy(log: str, rest: list[str]) -> Name | None:
    number = rest[0].removesuffix(_POLICY)
    if len(rest) != 1 or number == rest[0] or not _NUMBER.fullmatch(number):
        return None
    return Name(Kind.POLICY, log, number=int(number))


def _of_shard(log: str, shard: str, rest: list[str]) -> Name | None:
    if len(rest) == 2:
        if rest[0] != PRUNED or not _NUMBER.fullmatch(rest[1]):
            return None
        return Name(Kind.PRUNED, log, shard, int(rest[1]))
    if rest[0] == VERIFIER:
        return Name(Kind.VERIFIER, log, shard)
    first = segment_first(rest[0])
    if first is not None:
        return Name(Kind.SEGMENT, log, shard, first)
    first = tree_first(rest[0])
    return None if first is None else Name(Kind.TREE, log, shard, first)
