"""`[[tail]]`: log files, followed as bytes through rotation and truncation, a line a record.

A line is what stands between newlines, an empty one too; a carriage return belongs to it. The
last line waits for its newline until the file is rotated away or has long been quiet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from muniment.capture.port import Feed
from muniment.capture.section import Section
from muniment.settings.kinds import Source

__all__ = ["Settings", "feeds"]


def _pattern(value: str) -> str:
    try:
        re.compile(value.encode())
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from None
    return value


class Settings(Section):
    """A table `[[tail]]`. Its stream has its name."""

    paths: tuple[str, ...] = Field(
        min_length=1, max_length=64, description="Files, or patterns such as /var/log/nginx/*.log."
    )
    source: Source = Field(alias="as", description="What wrote the lines: haproxy, nginx, ...")
    start: Literal["beginning", "end"] = Field(
        "beginning",
        alias="from",
        description="Where files begin that are there at the first start.",
    )
    first_line: Annotated[str, AfterValidator(_pattern)] = Field(
        "", description="Which lines begin a record, where records have several lines."
    )
    parcel_age: float = Field(
        1.0, ge=0.05, le=60, description="Seconds that lines may wait for others."
    )
    idle: float = Field(
        60.0, ge=1, description="Seconds after which a last line without its newline is taken."
    )
    rotate_wait: float = Field(
        60.0, ge=1, description="Seconds that a rotated file must be quiet before it is left."
    )

    @field_validator("paths")
    @classmethod
    def _absolute(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        folder: Path = (info.context or {}).get("folder", Path())
        return tuple(str((folder / path).absolute()) for path in value)


def feeds(settings: Settings) -> Sequence[Feed]:
    """Returns the feed of a section."""
    from muniment.capture.feeds.tail.feed import Tail

    return [Tail(settings)]
