"""Secrets in configuration text: found by the words before them, and replaced in place.

What is known: HAProxy's `password`, `insecure-password`, `stats auth`, keys of converters, `setenv`
and what checks send as `AUTH`; headers that carry credentials, set or compared; user names with
passwords in URLs; `name = value` and `name: value` where the name says it is a secret; digests of
passwords (crypt, LDAP), bearer tokens; private keys in PEM. A secret under a name that
says nothing is not found. Comments are searched like everything else: old passwords stand there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from muniment.capture.redaction import Redact, is_secret_header, names_secret

_VALUE = re.compile(
    r"""(?i)"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|"""
    r"""(?:(?:basic|bearer|digest|token)(?:\\?[ \t])+)?(?:\\.|[^\s"'\\])(?:\\.|[^\s\\])*"""
)
"""Quoted, or up to white space; behind the scheme of a credential one word more."""
_CLOSING = ";,)}]"
"""What ends a value that is not quoted, and is no part of it."""

_NAMED = re.compile(
    r"""(?m)(?<![A-Za-z0-9_.-])(?P<name>[A-Za-z][A-Za-z0-9_.-]{0,127})["']?[ \t]*[=:][ \t]*"""
)
_HEADER = re.compile(
    r"(?mi)\b(?:set-header|add-header|hdr|proxy_set_header|set)[ \t]+"
    r"[\"']?\$?(?P<name>[A-Za-z0-9_.-]{1,128})[\"']?[ \t]+"
)
_VARIABLE = re.compile(
    r"(?mi)\b(?:presetenv|setenv)[ \t]+[\"']?(?P<name>[A-Za-z0-9_]{1,128})[\"']?[ \t]+"
)
_SET_VAR = re.compile(
    r"(?mi)\bset-var(?:-fmt)?\([a-z]{1,8}\.(?P<name>[A-Za-z0-9_.]{1,128})[^)\n]{0,128}\)[ \t]+"
)
_COMPARED = re.compile(
    r"(?mi)(?:hdr|cook|urlp|url_param|body_param)[a-z_]{0,12}\((?P<name>[A-Za-z0-9_.-]{1,128})[^)\n]{0,64}\)"
    r"(?:[ \t]+-[im](?:[ \t]+[a-z]{3,8})?)*[ \t]+(?![-{}|])(?P<rest>[^{}\n]+)"
)
_MATCHED = re.compile(
    r"(?m)\b(?:Header|Query)s?(?:Regexp)?\([`\"'](?P<name>[A-Za-z0-9_.-]{1,128})[`\"'][ \t]*,[ \t]*"
    r"[`\"'](?P<rest>[^`\"'\n]+)"
)
_REPLACED = re.compile(
    r"(?mi)\breplace-(?:header|value)[ \t]+(?P<name>[A-Za-z0-9_-]{1,128})[ \t]+(?P<rest>[^\n]+)"
)
_WORDED = re.compile(
    r"(?i)\b(?P<name>(?:insecure-)?password|dynamic-cookie-key|eab-key)[ \t]+(?![=:])"
)
_PLAIN = (
    re.compile(r"(?i)\bstats[ \t]+auth[ \t]+[^\s:]{1,256}:(\S+)"),
    re.compile(r"(?i)\bhmac\([a-z0-9]+,([^),\s]+)\)"),
    re.compile(r"(?i)\bjwt_verify\([^,()\n]{1,64},(?![a-z]{3,4}\.|/)([^()\s]+)\)"),
    re.compile(
        r"(?i)\baes_[a-z]{3}_(?:enc|dec)\([^,()\n]{1,16},[^,()\n]{1,64},(?![a-z]{3,4}\.)([^,)\s]+)"
    ),
    re.compile(
        r"(?mi)\btcp-check[ \t]+send(?:-lf)?[ \t]+[\"']?(?:AUTH|PASS|LOGIN)(?:\\?[ \t])+([^\"'\n]+)"
    ),
    re.compile(r"(?i)\bbearer(?:\\?[ \t])+(?=[A-Za-z._~+/-]{0,256}[0-9])([A-Za-z0-9._~+/-]{8,}=*)"),
    re.compile(
        r"(?i)(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^/\s:@\"']{1,256}:([^/\s@\"']{1,256})@"
    ),
    re.compile(
        r"((?:\$(?:apr1|[156y]|2[abxy]?|7|argon2[a-z]{1,2}|scrypt|pbkdf2[a-z0-9-]{0,16})\$|"
        r"\{(?:S?SHA|SSHA(?:256|512))\})[A-Za-z0-9./+$=,_-]{8,512})"
    ),
)
_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,32} ){0,3}PRIVATE KEY-----\n?")


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets, and the secret behind each marker."""

    text: str
    secrets: dict[str, str]


def redacted(text: str, redact: Redact) -> Redacted:
    """Returns the text with each secret that is found replaced by its marker."""
    places = sorted(set(_places(text)), key=lambda place: (place[0], -place[1]))
    parts: list[str] = []
    secrets: dict[str, str] = {}
    end = 0
    for start, stop in places:
        start = max(start, end)
        if start >= stop:
            continue
        secret = text[start:stop]
        marker = redact(secret)
        secrets[marker] = secret
        parts += [text[end:start], marker]
        end = stop
    return Redacted("".join([*parts, text[end:]]), secrets)


def _places(text: str) -> Iterator[tuple[int, int]]:
    yield from _keys(text)
    for pattern in _PLAIN:
        for found in pattern.finditer(text):
            yield _inside(text, *found.span(1))
    for pattern, is_secret in _NAMING:
        yield from _named(text, pattern, is_secret)
    for pattern in (_COMPARED, _MATCHED, _REPLACED):
        for found in pattern.finditer(text):
            if is_secret_header(found["name"]):
                yield _inside(text, *_trimmed(text, *found.span("rest")))


def _names_credential(name: str) -> bool:
    return names_secret(name) or name.lower() in _HEADERS


def _names_secret_variable(name: str) -> bool:
    """Variables of the environment are named with less care, and shown to nobody."""
    return re.search(r"(?i)key|token|secret|pass|cred|auth", name) is not None


_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key")
_NAMING = (
    (_NAMED, _names_credential),
    (_WORDED, lambda _: True),
    (_HEADER, is_secret_header),
    (_VARIABLE, _names_secret_variable),
    (_SET_VAR, names_secret),
)
"""What stands before a value, and whether the name in it says that the value is secret."""


def _named(
    text: str, pattern: re.Pattern[str], is_secret: Callable[[str], bool]
) -> Iterator[tuple[int, int]]:
    """The values behind secret names. No value is read twice, so that time grows with the text."""
    at = 0
    while (found := pattern.search(text, at)) is not None:
        at = found.end()
        if is_secret(found["name"]) and (value := _VALUE.match(text, at)) is not None:
            at = value.end()
            yield _inside(text, *_trimmed(text, *value.span()))


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    """The place without spaces behind it, and, where it is not quoted, without what closes it."""
    stop = start + len(text[start:stop].rstrip())
    if text[start] in "\"'" and text[stop - 1] == text[start] and stop - start >= 2:
        return start, stop
    return start, start + max(1, len(text[start:stop].rstrip(_CLOSING)))


def _keys(text: str) -> Iterator[tuple[int, int]]:
    """Private keys between their lines; one without an end goes on to the end of the text."""
    at = 0
    while (found := _KEY.search(text, at)) is not None:
        at = text.find("-----END ", found.end())
        if at < 0:
            yield found.end(), len(text)
            return
        yield found.end(), at - 1 if text[at - 1] == "\n" and at > found.end() else at


def _inside(text: str, start: int, stop: int) -> tuple[int, int]:
    """The place without the quotes around it."""
    if stop - start >= 2 and text[start] in "\"'" and text[stop - 1] == text[start]:
        return start + 1, stop - 1
    return start, stop
