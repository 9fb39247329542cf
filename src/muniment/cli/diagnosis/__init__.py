"""The checks of `muniment doctor`."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one check: OK, WARN or FAIL, and what was seen or is to be done."""

    check: str
    result: str
    detail: str
