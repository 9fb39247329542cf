"""Secrets out of an NGINX configuration, found by what the directives mean.

Replaced are: the values of headers and parameters whose name says that they are secret
(`proxy_set_header Authorization ...`), of variables and directives of such names (`set $api_token`,
`secure_link_secret`), of arguments `password=...`, passwords in URLs, what a `map` or an `if`
compares a secret variable with, and comments that hold any of these. Values that are only variables
stay. Code in Lua, and a secret under a name that says nothing, are not seen. A file that cannot be
parsed is replaced as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from muniment.balancer.nginx import File
from muniment.balancer.nginx_syntax import Argument, Directive, parse
from muniment.capture.redaction import Redact, is_secret_header, names_secret
from muniment.capture.systems.headers import without_logins
from muniment.errors import InputError

_HEADERS = re.compile(
    r"(?:proxy|grpc|fastcgi|uwsgi|scgi)_(?:set_header|param|pass_header)|set"
    r"|add_header|more_(?:set|clear)(?:_input)?_headers|auth_request_set"
)
_SECRETS = ("secure_link_secret", "secure_link_md5", "perl_set", "redis_pass", "license_token")
_ONLY_VARIABLES = re.compile(r"(?:\s*(?:\$\{?\w+\}?|basic|bearer))*\s*", re.I)
_NAMED = re.compile(r"([A-Za-z][\w.-]{0,63})=(.+)", re.S)


@dataclass(slots=True)
class Concealed:
    """A file without its secrets. `sources` has what stood where a replacement stands now."""

    text: str
    directives: list[Directive]
    sources: dict[str, str] = field(default_factory=dict)


def conceal(file: File, redact: Redact) -> Concealed:
    """Returns the file's text and directives with secrets replaced. The file stays as it is."""
    if file.parsed is None:  # what is secret in it cannot be told
        return Concealed(redact(file.text), [])
    found: list[tuple[int, int, str]] = []
    directives = list(_directives(file.parsed.directives, redact, found, ""))
    for start, end in file.parsed.comments:
        if _holds_secrets(file.text[start:end], redact):
            found.append((start, end, f" {redact(file.text[start:end])}"))
    made = Concealed("", directives)
    parts, at = [], 0
    for start, end, instead in sorted(found):
        parts += [file.text[at:start], instead]
        made.sources[instead] = file.text[start:end]
        at = end
    made.text = "".join([*parts, file.text[at:]])
    return made


def restored(text: str, sources: dict[str, str]) -> str | None:
    """Returns a text with its secrets put back; None where one of them is not known."""
    for instead in sorted(sources, key=len, reverse=True):
        text = text.replace(instead, sources[instead])
    return None if re.search(r"\[redacted [0-9a-f]{16}\]", text) else text


def _directives(
    block: Sequence[Directive], redact: Redact, found: list[tuple[int, int, str]], inside: str
) -> Iterator[Directive]:
    """Yields copies without secrets; `inside` is the variable that a surrounding map compares."""
    for one in block:
        args = [
            argument if said is None else Argument(said, argument.start, argument.end)
            for argument, said in zip(one.args, _said(one, redact), strict=True)
        ]
        for old, new in zip(one.args, args, strict=True):
            if old is not new:
                found.append((old.start, old.end, f'"{_quoted(new.value)}"'))
        name = one.name
        if inside and name not in ("default", "hostnames", "volatile", "include"):
            name = redact(one.name)
            found.append((one.start, one.name_end, f'"{name}"'))
        made = replace(one, name=name, args=args)
        if one.block is not None:
            compared = one.args[0].value.lstrip("$") if one.name == "map" and one.args else ""
            secret = compared if _is_secret_variable(compared) else ""
            made.block = list(_directives(one.block, redact, found, secret))
        yield made


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _said(one: Directive, redact: Redact) -> list[str | None]:
    """For each argument what stands for it, or None where it may stay."""
    values = one.values
    said: list[str | None] = [None] * len(values)
    for number, value in enumerate(values):
        shown = without_logins(value, redact)
        named = _NAMED.fullmatch(value)
        if shown != value:
            said[number] = shown
        elif named is not None and names_secret(named[1]) and not _harmless(named[2]):
            said[number] = f"{named[1]}={redact(named[2])}"
    secret_from = _secret_from(one, values)
    for number in range(secret_from, len(values)):
        if not _harmless(values[number]) and values[number] not in ("always", "if_not_empty"):
            said[number] = redact(values[number])
    return said


def _secret_from(one: Directive, values: list[str]) -> int:
    """The first argument that is a secret by what stands before it; beyond the last for none."""
    if one.name in _SECRETS or (one.block is None and names_secret(one.name)):
        return 0
    if values and _HEADERS.fullmatch(one.name):
        name = values[0].lstrip("$")
        header = name.removeprefix("HTTP_").replace("_", "-")
        if names_secret(name) or (one.name != "set" and is_secret_header(header)):
            return 1
    if one.name == "if" and len(values) > 2 and _is_secret_variable(values[0].lstrip("($")):
        return 2
    return len(values)


def _is_secret_variable(name: str) -> bool:
    for before in ("http_", "arg_", "cookie_", "sent_http_"):
        if name.startswith(before):
            return is_secret_header(name.removeprefix(before).replace("_", "-"))
    return names_secret(name)


def _harmless(value: str) -> bool:
    return value in (")", "(") or _ONLY_VARIABLES.fullmatch(value) is not None


def _holds_secrets(comment: str, redact: Redact) -> bool:
    try:
        parsed = parse(comment if comment.rstrip().endswith((";", "}")) else f"{comment};")
    except InputError:
        return without_logins(comment, redact) != comment
    found: list[tuple[int, int, str]] = []
    list(_directives(parsed.directives, redact, found, ""))
    return bool(found)
