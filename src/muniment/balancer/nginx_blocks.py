"""What an NGINX configuration says, as states to compare: servers, upstreams, the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muniment.balancer.nginx import walk
from muniment.balancer.nginx_syntax import Argument, Directive

CONTEXTS = ("http", "stream", "mail")

CERTIFICATES = (
    "ssl_certificate",
    "ssl_client_certificate",
    "ssl_trusted_certificate",
    *(f"{of}_ssl_certificate" for of in ("proxy", "grpc", "uwsgi")),
    *(f"{of}_ssl_trusted_certificate" for of in ("proxy", "grpc", "uwsgi")),
)
"""Directives whose argument is a PEM file of certificates."""


@dataclass(frozen=True, slots=True)
class Part:
    """A server block, an upstream, or what else a context holds."""

    kind: str
    name: str
    state: dict[str, Any]
    where: Mapping[str, str] = field(default_factory=dict)


def parts(directives: Sequence[Directive]) -> Iterator[Part]:
    """Yields the servers, upstreams and contexts of an expanded configuration."""
    main = [one for one in directives if one.name not in CONTEXTS or one.block is None]
    yield Part("context", "main", block_state(main))
    for context in (one for one in directives if one.name in CONTEXTS and one.block is not None):
        before = "" if context.name == "http" else f"{context.name}-"
        names: dict[str, int] = {}
        rest = []
        for one in context.block or ():
            if one.name == "server" and one.block is not None:
                name = _again(server_name(one.block), names)
                hosts = [host for word in _all(one.block, "server_name") for host in word.values]
                where = {"frontend": hosts[0]} if hosts else {}
                yield Part(f"{before}server", name, block_state(one.block), where)
            elif one.name == "upstream" and one.block is not None and one.args:
                name = _again("upstream " + one.args[0].value, names).removeprefix("upstream ")
                state = upstream_state(one.block)
                yield Part(f"{before}upstream", name, state, {"backend": one.args[0].value})
            else:
                rest.append(one)
        yield Part("context", context.name, block_state(rest))


def _again(name: str, names: dict[str, int]) -> str:
    names[name] = names.get(name, 0) + 1
    return name if names[name] == 1 else f"{name} #{names[name]}"


def _all(block: Sequence[Directive], name: str) -> list[Directive]:
    return [one for one in block if one.name == name]


def server_name(block: Sequence[Directive]) -> str:
    """Returns what a server block is called: where it listens first, and its first name."""
    listens = [one.args[0].value for one in _all(block, "listen") if one.args]
    names = [one.args[0].value for one in _all(block, "server_name") if one.args]
    return f"{listens[0] if listens else '80'}/{names[0] if names else '_'}"


def block_state(block: Sequence[Directive]) -> dict[str, Any]:
    """Returns a block as members: directives by name, blocks by their head.

    What is there more than once is a list; a block that is, has `#2` behind its head. The order of
    locations that are regular expressions, which decides, is the member `regex order`.
    """
    made: dict[str, Any] = {}
    heads: dict[str, int] = {}
    for one in block:
        if one.block is not None:
            made[_again(" ".join([one.name, *words(one.args)]), heads)] = block_state(one.block)
            continue
        said = " ".join(words(one.args))
        before = made.get(one.name)
        if before is None:
            made[one.name] = said
        else:
            made[one.name] = [*(before if isinstance(before, list) else [before]), said]
    regexes = [
        " ".join(words(one.args))
        for one in block
        if one.name == "location" and one.args and one.args[0].value in ("~", "~*")
    ]
    return {**made, "regex order": regexes} if len(regexes) > 1 else made


def words(args: Sequence[Argument]) -> list[str]:
    """Returns arguments as they could be written."""
    return [
        one.value
        if one.value and not any(mark in one.value for mark in ' \t\r\n;{}"')
        else '"' + one.value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for one in args
    ]


def upstream_state(block: Sequence[Directive]) -> dict[str, Any]:
    """Returns an upstream: its servers by address, with their parameters, and the rest of it."""
    servers: dict[str, Any] = {}
    names: dict[str, int] = {}
    for one in _all(block, "server"):
        if one.args:
            told: dict[str, Any] = {"weight": 1}
            for word in one.values[1:]:
                key, equals, value = word.partition("=")
                told[key] = (int(value) if value.isdecimal() else value) if equals else True
            servers[_again(one.args[0].value, names)] = told
    rest = block_state([one for one in block if one.name != "server"])
    return {"servers": servers, **rest}


def certificate_files(main: Path, directives: Sequence[Directive]) -> list[str]:
    """Returns the PEM files of certificates that an expanded configuration names."""
    found = set()
    for one in walk(directives):
        if one.name in CERTIFICATES and len(one.args) == 1:
            value = one.args[0].value
            if not value.startswith(("data:", "engine:")) and "$" not in value:
                found.add(os.path.normpath(os.path.join(main.parent, value)))  # noqa: PTH118
    return sorted(found)
