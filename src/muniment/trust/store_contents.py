"""What a store holds beside the shards, or does not hold: attachments, entries that others have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from muniment.errors import Corrupt
from muniment.log.report import Finding, Report, ShardReport
from muniment.store.attachments.check import marked
from muniment.store.attachments.entry import ACTION, claim_of
from muniment.store.disk import StoreDisk, shard_names
from muniment.store.insist import Insist
from muniment.store.inventory import Inventory
from muniment.store.names import LOGS, Kind, attachment_key, parse, shard_prefix
from muniment.store.port import Store
from muniment.store.retention.acts import EXTENDED
from muniment.store.retention.policy import Policy
from muniment.trust.store_policies import Stated

MAX_POLICY_BYTES = 64 << 10
MARKS = (ACTION.encode(), EXTENDED.encode())


def find_attachments(disk: StoreDisk) -> Iterator[Finding]:
    """Every attachment hashes to its name."""
    for held in disk.inventory:
        name = parse(held.key)
        if name is None or name.kind is not Kind.ATTACHMENT or held.first is None:
            continue
        try:
            digest = disk.digest(Path(held.key))
        except FileNotFoundError:
            yield Finding(held.key, "has gone since it was listed")
            continue
        finally:
            disk.forget(Path(held.key))
        if digest != name.digest:
            yield Finding(held.key, f"has the SHA-256 {digest.hex()}, not that of its name")


def find_claims(disk: StoreDisk, report: Report) -> Iterator[Finding]:
    """Every attachment that an entry names is there; retentions are as the log has them.

    The entries are read a second time, of shards without findings.
    """
    stated = Stated()
    for shard in report.shards:
        path = Path(shard.directory)
        if shard.findings or shard.minimum:
            stated.incomplete.add(path.parts[1])
        if shard.findings:
            report.notes.append(f"{shard.directory}: attachments are not looked for: see above")
            continue
        seen: set[bytes] = set()
        for place, header, raw in marked(path, shard.size, MARKS, disk):
            stated.hear(path.parts[1], place, header, raw)
            claim = claim_of(header, raw, place)
            if claim is None or claim.sha256 in seen:
                continue
            seen.add(claim.sha256)
            key = attachment_key(path.parts[1], claim.sha256)
            found = disk.inventory.first(key)
            if found is None:
                yield Finding(key, f"is missing: {claim.place} names it")
            elif found.size != claim.size:
                yield Finding(key, f"has {found.size:,} bytes, {claim.place} says {claim.size:,}")
    yield from stated.compare(disk, report.notes)


def find_bad_policies(disk: StoreDisk) -> Iterator[Finding]:
    """Every recorded retention is one, of its log, under its own number."""
    for held in disk.inventory:
        name = parse(held.key)
        if name is None or name.kind is not Kind.POLICY or held.first is None:
            continue
        try:
            if held.first.size > MAX_POLICY_BYTES:
                raise Corrupt(held.key, 0, "a retention policy", f"{held.first.size} bytes")
            policy = Policy.decode(disk.object(held.key), held.key, name.log)
        except Corrupt as error:
            yield Finding.of(error)
        except FileNotFoundError:
            yield Finding(held.key, "has gone since it was listed")
        else:
            if policy.number != name.number:
                yield Finding(held.key, f"is the policy number {policy.number}")


def lags(store: Store, shards: Sequence[ShardReport], other: Store, insist: Insist) -> list[str]:
    """Says which entries another store has that this one has not, shard by shard."""
    inventory = Inventory.of(other, LOGS, insist)
    disk = StoreDisk(other, inventory, insist=insist)
    here = {shard.directory: shard.size for shard in shards}
    logs = {Path(directory).parts[1] for directory in here}
    found = []
    try:
        for log, shard in shard_names(inventory):
            path = Path(shard_prefix(log, shard))
            size, there = here.get(str(path), 0), disk.companions(path).size
            if there > size and log in logs:
                found.append(
                    f"{store.name} lags behind {other.name}: entries {size:,} to {there - 1:,} of "
                    f"{log}/{shard} are there and not here"
                )
    finally:
        disk.close()
    return found
