"""Configuration of real senders as the reference gives it, with the addresses of a test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

PROTOCOLS = Path(__file__).parents[3] / "docs" / "reference" / "protocols"


def documented(page: str, mark: str, replaced: Mapping[str, str]) -> str:
    """Returns the one block of a page that holds `mark`; each text to replace must be in it."""
    text = (PROTOCOLS / page).read_text()
    (block,) = [one for one in re.findall(r"```\w+\n(.*?)```", text, re.DOTALL) if mark in one]
    for old, new in replaced.items():
        assert old in block, f"{page}: {old} is not in the block with {mark}"
        block = block.replace(old, new)
    return block
