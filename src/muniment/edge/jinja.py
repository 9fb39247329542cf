"""The templates: files of this package, for which an unknown name is an error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def environment() -> Environment:
    """Returns the environment of all templates in `edge/templates`.

    Nothing is escaped for HTML: these are no pages. What comes from a description is held to safe
    characters before (`kinds`), and quoted on top where it is a path or a pattern.
    """
    made = Environment(
        loader=PackageLoader("muniment.edge"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["quoted"] = quoted
    made.filters["double_quoted"] = double_quoted
    return made


def filled(template: str, values: Mapping[str, Any]) -> str:
    """Returns a template with its values in it."""
    return environment().get_template(template).render(values)


def quoted(value: object) -> str:
    """Returns a text in single quotes, in which HAProxy takes every character for itself."""
    text = str(value)
    if any(ord(character) < 32 or character in "'\x7f" for character in text):
        raise ValueError(f"{text[:80]!r} cannot be quoted")
    return f"'{text}'"


def double_quoted(value: object) -> str:
    """Returns a text in double quotes for NGINX, which takes `\\\\` for one backslash."""
    text = str(value)
    if any(ord(character) < 32 or character in '"\x7f' for character in text):
        raise ValueError(f"{text[:80]!r} cannot be quoted")
    return '"' + text.replace("\\", "\\\\") + '"'
