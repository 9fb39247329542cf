"""Text that JSON can hold: names of files need not be UTF-8."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def plain(value: T) -> T | str:
    """Returns a text with `\\udcff` for each byte that was no UTF-8; all else as it is."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value
