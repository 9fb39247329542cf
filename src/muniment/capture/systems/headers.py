"""Secrets in the configuration of proxies: header values, credentials in addresses, user lists.

Beside members whose name says that they are secret (see `redaction`), such configuration has
headers as pairs (`{"key": "authorization", "value": "..."}`), as members (`{"X-Api-Key": "..."}`),
data sources (`{"inline_string": "..."}`), and passwords in URLs.
"""

from __future__ import annotations

import re

from muniment.capture.redaction import Redact, is_secret_header, names_secret
from muniment.capture.snapshot import Json
from muniment.capture.systems.text_secrets import redacted

_LOGIN = re.compile(r"(://[^/@\s:\"']*:)([^/@\s\"']+)(?=@)")
_INLINE = ("inline_string", "inline_bytes")
_VALUES = (
    *("value", "raw_value", "Value", "Values", "string_match"),
    *("exact_match", "prefix_match", "suffix_match", "contains_match"),
)
_HELD = (*_INLINE, "key", "exact", "prefix", "suffix", "contains")
"""Members that hold the secret of what stands under a secret name."""
_NAMES = ("key", "name", "header", "Key", "HttpHeaderName")
_ALREADY = ("[redacted]", "W3JlZGFjdGVkXQ==")
"""What Envoy itself writes in place of a secret text, and of secret bytes."""


def without_logins(text: str, redact: Redact) -> str:
    """Returns a text whose URLs have their passwords replaced (RFC 3986, 3.2.1)."""
    return _LOGIN.sub(lambda found: found[1] + redact(found[2]), text)


def without_secrets(value: Json, redact: Redact, path: str = "") -> tuple[Json, list[str]]:
    """Returns the value with its secrets replaced, and the JSON pointers of those."""
    found: list[str] = []
    return _plain(value, redact, path, found), found


def _plain(value: Json, redact: Redact, path: str, found: list[str]) -> Json:
    if isinstance(value, str):
        made = redacted(without_logins(value, redact), redact).text
        if made != value or value in _ALREADY:
            found.append(path)
        return made
    if isinstance(value, list):
        return [_plain(one, redact, f"{path}/{n}", found) for n, one in enumerate(value)]
    if isinstance(value, dict):
        return _object(value, redact, path, found)
    return value


def _object(value: dict[str, Json], redact: Redact, path: str, found: list[str]) -> Json:
    named = next((value[name] for name in _NAMES if name in value), None)
    pair = isinstance(named, str) and is_secret_header(named)
    made: dict[str, Json] = {}
    for key, member in value.items():
        place = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        headers = key in ("customRequestHeaders", "customResponseHeaders")
        if names_secret(key) or (pair and key in _VALUES):
            made[key] = _secret(member, redact, place, found)
        elif key == "users" and isinstance(member, list):
            made[key] = _users(member, redact, place, found)
        elif headers and isinstance(member, dict):
            made[key] = _members(member, redact, place, found)
        else:
            made[key] = _plain(member, redact, place, found)
    return made


def _secret(value: Json, redact: Redact, path: str, found: list[str]) -> Json:
    """What stands under a secret name: a text, texts, or a data source that holds one."""
    if isinstance(value, str) and value:
        found.append(path)
        return value if value in _ALREADY else redact(value)
    if isinstance(value, list):
        return [_secret(one, redact, f"{path}/{n}", found) for n, one in enumerate(value)]
    if isinstance(value, dict):
        held = {k: v for k, v in value.items() if k in _HELD or isinstance(v, dict | list)}
        made = _object({k: v for k, v in value.items() if k not in held}, redact, path, found)
        assert isinstance(made, dict)
        made |= {k: _secret(v, redact, f"{path}/{k}", found) for k, v in held.items()}
        return {key: made[key] for key in value}
    return value


def _members(value: dict[str, Json], redact: Redact, path: str, found: list[str]) -> Json:
    return {
        key: (_secret if is_secret_header(key) else _plain)(one, redact, f"{path}/{key}", found)
        for key, one in value.items()
    }


def _users(value: list[Json], redact: Redact, path: str, found: list[str]) -> Json:
    """Lines of htpasswd or htdigest: the name stays, the digest of the password does not."""
    made: list[Json] = []
    for number, user in enumerate(value):
        name, colon, digest = user.rpartition(":") if isinstance(user, str) else ("", "", "")
        if colon:
            found.append(f"{path}/{number}")
            made.append(f"{name}:{redact(digest)}")
        else:
            made.append(_plain(user, redact, f"{path}/{number}", found))
    return made
