"""What a bucket promises: versioning, Object Lock, rules that delete, and who may come in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from muniment.store.port import BucketState, Mode

_NONE = frozenset(
    [
        "ObjectLockConfigurationNotFoundError",
        "NoSuchLifecycleConfiguration",
        "NoSuchBucketPolicy",
        "NoSuchPublicAccessBlockConfiguration",
        "NoSuchObjectLockConfiguration",
    ]
)


def bucket_state(client: Any, bucket: str, folder: str) -> BucketState:
    """Asks the server. What is not to be read becomes a note; ClientError is the caller's."""
    versioning = client.get_bucket_versioning(Bucket=bucket)
    lock = _or_none(lambda: client.get_object_lock_configuration(Bucket=bucket))
    configured = (lock or {}).get("ObjectLockConfiguration", {})
    default = configured.get("Rule", {}).get("DefaultRetention", {})
    notes: list[str] = []
    rules = _noted(
        notes,
        "lifecycle rules",
        lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket),
    )
    notes += _who(client, bucket)
    if versioning.get("Status") == "Suspended":
        notes.append("versioning is suspended")
    return BucketState(
        versioned=versioning.get("Status") == "Enabled",
        lockable=configured.get("ObjectLockEnabled") == "Enabled",
        default_mode=Mode(str(default["Mode"]).lower()) if default.get("Mode") else Mode.OFF,
        default_days=int(default.get("Days") or 0) + 365 * int(default.get("Years") or 0),
        expires=tuple(_expiring(rules.get("Rules", []), folder)),
        notes=tuple(notes),
    )


def _who(client: Any, bucket: str) -> Iterator[str]:
    """Yields notes on public access and the bucket policy."""
    notes: list[str] = []
    block = _noted(
        notes, "the public access block", lambda: client.get_public_access_block(Bucket=bucket)
    )
    shut = block.get("PublicAccessBlockConfiguration", {})
    if not notes and not (shut and all(shut.values())):
        notes.append("public access is not blocked by the bucket itself")
    policy = _noted(notes, "the bucket policy", lambda: client.get_bucket_policy(Bucket=bucket))
    yield from notes
    for statement in _statements(str(policy.get("Policy", ""))):
        if statement.get("Effect") == "Allow" and _everybody(statement.get("Principal")):
            yield f"the bucket policy lets everybody do {statement.get('Action')}"


def _statements(policy: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(policy or "{}")
    except ValueError:
        return []
    listed = found.get("Statement", []) if isinstance(found, dict) else []
    listed = listed if isinstance(listed, list) else [listed]
    return [one for one in listed if isinstance(one, dict)]


def _everybody(principal: object) -> bool:
    if isinstance(principal, dict):
        principal = principal.get("AWS")
    return principal == "*" or (isinstance(principal, list) and "*" in principal)


def _expiring(rules: list[Mapping[str, Any]], folder: str) -> Iterator[str]:
    """Yields the rules that delete below the folder, in S3's own words."""
    for rule in rules:
        chosen = rule.get("Filter") or {}
        prefix = str(
            rule.get("Prefix")
            or chosen.get("Prefix")
            or (chosen.get("And") or {}).get("Prefix")
            or ""
        )
        apart = not prefix.startswith(folder) and not folder.startswith(prefix)
        if rule.get("Status") != "Enabled" or apart:
            continue
        name = f"rule {rule.get('ID', '')!r} on {prefix!r}"
        expiration = rule.get("Expiration") or {}
        if expiration.get("Days") or expiration.get("Date"):
            when = expiration.get("Date") or f"{expiration['Days']} days"
            yield f"{name}: Expiration {when}"
        noncurrent = rule.get("NoncurrentVersionExpiration") or {}
        if noncurrent.get("NoncurrentDays"):
            yield f"{name}: NoncurrentVersionExpiration {noncurrent['NoncurrentDays']} days"


def _or_none(call: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        return dict(call())
    except ClientError as error:
        if _code(error) in _NONE:
            return None
        raise


def _noted(notes: list[str], of: str, call: Callable[[], Any]) -> dict[str, Any]:
    try:
        return _or_none(call) or {}
    except ClientError as error:
        notes.append(f"{of} cannot be read ({_code(error)})")
        return {}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))[:64]
