"""Asks again where an answer is only late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from muniment.cli.client import Unreachable
from muniment.errors import TryLater

Answer = TypeVar("Answer")


def patiently(
    ask: Callable[[], Answer],
    *,
    tries: int = 6,
    reconnect: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Returns what `ask` returns, asking up to `tries` times while it raises TryLater.

    With `reconnect`, a connection that breaks is made again as well. The last error is raised.
    """
    kinds = (TryLater, Unreachable) if reconnect else (TryLater,)
    for left in range(tries - 1, 0, -1):
        try:
            return ask()
        except kinds as error:
            wait = error.retry_after if isinstance(error, TryLater) else 2 ** (tries - left) / 4
            sleep(min(wait, 5))
    return ask()
