"""What an action's words say: the OCSF class, the activity, and whether it went well."""

from __future__ import annotations

import re
from functools import lru_cache

from muniment.event import ocsf

_CREATE, _READ, _UPDATE, _DELETE = 1, 2, 3, 4


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORDS.findall(text))


_WORDS = re.compile(r"[a-z]+")
_VERBS = {
    **dict.fromkeys(_words("create add new issue upload register insert post import"), _CREATE),
    **dict.fromkeys(_words("read get list view show search query export download head"), _READ),
    **dict.fromkeys(_words("update set change modify edit put patch rotate renew grant"), _UPDATE),
    **dict.fromkeys(_words("replace reload apply scale enable disable drain"), _UPDATE),
    **dict.fromkeys(_words("delete remove revoke purge destroy drop unregister"), _DELETE),
}
# Entity Management numbers more verbs than API Activity does.
_ENTITY_VERBS = _VERBS | {
    "move": 5,
    "enroll": 6,
    "unenroll": 7,
    "enable": 8,
    "disable": 9,
    "activate": 10,
    "deactivate": 11,
    "suspend": 12,
    "resume": 13,
}
_LOGON = _words("login logon signin authenticate authentication")
_LOGOFF = _words("logout logoff signout")
_ENTITIES = _words(
    "user users account accounts role roles group groups token tokens credential credentials "
    "member members principal serviceaccount"
)
_GOOD = _words("success succeeded successful ok okay allow allowed accept accepted pass")
_BAD = _words(
    "failure fail failed error deny denied refused rejected reject forbidden unauthorized "
    "blocked block timeout"
)


@lru_cache(maxsize=4096)
def classify(action: str, resource_type: str) -> tuple[int, int]:
    """(class_uid, activity_id) of an action on a type of resource; 99 for an unknown verb."""
    words = _WORDS.findall(action.lower()[:256])
    joined = "".join(words[-2:])
    for names, activity in ((_LOGON, 1), (_LOGOFF, 2)):
        if not names.isdisjoint(words) or joined in names:
            return ocsf.AUTHENTICATION, activity
    about_entity = resource_type.lower() in _ENTITIES or not _ENTITIES.isdisjoint(words)
    table = _ENTITY_VERBS if about_entity else _VERBS
    activity = next((table[word] for word in words if word in table), ocsf.OTHER)
    return (ocsf.ENTITY_MANAGEMENT if about_entity else ocsf.API_ACTIVITY), activity


def outcome_status(outcome: str) -> int:
    """status_id of an outcome in words: Success, Failure, or Other."""
    words = _words(outcome.lower()[:64])
    if words & _BAD:
        return ocsf.FAILURE
    return ocsf.SUCCESS if words & _GOOD else ocsf.OTHER
