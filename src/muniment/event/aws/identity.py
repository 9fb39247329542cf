"""Who called an AWS API, out of the `userIdentity` of a CloudTrail record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muniment.event.objects import Object

_AFTER = {"AssumedRole": "assumed-role/", "FederatedUser": "federated-user/"}
TAKEN = frozenset(("type", "arn", "accountId", "accessKeyId", "userName", "invokedBy"))


def actor(identity: Object) -> Object:
    """Returns OCSF's actor: the user, the session with who issued it, and the service between.

    A role's user is named `role/session`, for a session says which person or program took the
    role; that is also what the end of its ARN says. A service is named by its host name.
    """
    session = _member(identity, "sessionContext")
    issuer = _member(session, "sessionIssuer")
    return {
        "user": {
            "name": _name(identity, issuer),
            "uid": _text(identity, "arn") or _text(identity, "principalId"),
            "type": _text(identity, "type"),
            "domain": _text(identity, "accountId") or _text(identity, "identityProvider"),
        },
        "session": {"uid": _text(identity, "accessKeyId"), "issuer": _issuer(identity, issuer)},
        "invoked_by": _text(identity, "invokedBy"),
    }


def used_mfa(event: Object) -> bool | None:
    """Returns whether a second factor was used, as far as the record says."""
    session = _member(_member(event, "userIdentity"), "sessionContext")
    said = _member(event, "additionalEventData").get("MFAUsed")
    said = said or _member(session, "attributes").get("mfaAuthenticated")
    return {"yes": True, "true": True, "no": False, "false": False}.get(str(said).lower())


def _name(identity: Object, issuer: Object) -> str | None:
    kind, arn = _text(identity, "type") or "", _text(identity, "arn") or ""
    _, mark, tail = arn.partition(_AFTER.get(kind, "\x00"))
    if mark and tail:
        return tail
    name = _text(identity, "userName")
    if name or kind == "Root":
        return name or "root"
    if kind == "AWSService":
        return _text(identity, "invokedBy")
    on_behalf = _member(identity, "onBehalfOf")
    return (
        _text(issuer, "userName")
        or _text(on_behalf, "userId")
        or (arn.rpartition("/")[2] if "/" in arn else None)
        or _text(identity, "principalId")
        or _text(identity, "accountId")
        or _text(identity, "invokedBy")
    )


def _issuer(identity: Object, issuer: Object) -> str | None:
    on_behalf = _member(identity, "onBehalfOf")
    return (
        _text(issuer, "arn")
        or _text(identity, "identityProvider")
        or _text(on_behalf, "identityStoreArn")
    )


def _member(holder: Mapping[str, Any], name: str) -> Object:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _text(holder: Mapping[str, Any], name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) and value else None
