"""Secrets out of state: replaced before they leave the host, and the replacement stated.

A redacted value is a text that says what it stands for. It carries a digest of the secret keyed
with a key of the agent's that never leaves the host, so that a rotated secret is a change, while
nobody else can try secrets against it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from hashlib import sha256

from muniment.capture.snapshot import Json

Redact = Callable[[str], str]
"""From a secret to the text that stands for it."""

_SECRET = re.compile(
    r"(?i)(?:^|[_./-]|(?-i:(?<=[a-z0-9])(?=[A-Z])))(?:password|passwd|secret|token|api[_-]?key|"
    r"private[_-]?key|credentials?|client[_-]?secret|access[_-]?key|authorization|shared[_-]?key|"
    r"secret[_-]?key|session[_-]?key|session[_-]?ticket[_-]?key|authorization[_-]?key|json[_-]?key)s?$"
)
_HEADER = re.compile(
    r"(?i)(?:set-)?cookie|x-auth|x-origin-verify"
    r"|.*(?:authorization|auth-?(?:token|key)|passw|signature|credential|jwt|session-?id).*"
)


def redactor(key: bytes) -> Redact:
    """Returns a function that replaces secrets, under a key of at least 32 random bytes."""

    def redact(secret: str) -> str:
        digest = hmac.new(key, secret.encode("utf-8", "surrogatepass"), sha256).hexdigest()
        return f"[redacted {digest[:16]}]"

    return redact


def names_secret(member: str) -> bool:
    """Whether a member of this name holds a secret, as far as a name can tell."""
    return _SECRET.search(member) is not None


def is_secret_header(name: str) -> bool:
    """Whether the value of a header of this name is to be replaced."""
    return names_secret(name) or _HEADER.fullmatch(name) is not None


def without_secrets(
    value: Json, redact: Redact, is_secret: Callable[[str], bool] = names_secret, path: str = ""
) -> tuple[Json, list[str]]:
    """Returns the value with texts of secret members replaced, and the JSON pointers of those."""
    if isinstance(value, list):
        pairs = [without_secrets(v, redact, is_secret, f"{path}/{n}") for n, v in enumerate(value)]
        return [one for one, _ in pairs], [where for _, found in pairs for where in found]
    if not isinstance(value, dict):
        return value, []
    made: dict[str, Json] = {}
    found: list[str] = []
    for key, member in value.items():
        place = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if isinstance(member, str) and member and is_secret(key):
            made[key] = redact(member)
            found.append(place)
        else:
            made[key], below = without_secrets(member, redact, is_secret, place)
            found += below
    return made, found
