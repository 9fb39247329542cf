"""What was refused is said: counted, logged, and recorded in the log itself, within a bound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from muniment.clock import Clock

MOST_A_SECOND = 10
"""Records; what is refused beyond that is counted, and one more record tells how much it was."""

_logger = logging.getLogger(__name__)


class Refusals:
    """Tells of refusals, on the event loop. `record` puts a record of our own into the log."""

    def __init__(
        self, resource: str, record: Callable[[Mapping[str, object]], None], clock: Clock
    ) -> None:
        self._resource, self._record, self._clock = resource, record, clock
        self._second, self._told, self._untold = clock.monotonic(), 0, 0

    def tell(self, reason: str, peer: str, sender: str, lost: int) -> None:
        """Something of a peer was refused: `lost` bytes that came are not in the log."""
        now = self._clock.monotonic()
        if now - self._second >= 1.0:
            self._second, self._told = now, 0
        if self._told >= MOST_A_SECOND:
            if not self._untold:
                asyncio.get_running_loop().call_later(1.0, self._tell_others)
            self._untold += 1
            return
        self._told += 1
        fields: dict[str, object] = {
            "action": "forward.refused",
            "resource": self._resource,
            "outcome": "failure",
            "reason": reason,
            "peer": peer,
            "lost": lost,
        }
        if sender:
            fields["sender"] = sender
        _logger.warning("%s: refused %s: %s", self._resource, peer, reason)
        self._record(fields)

    def _tell_others(self) -> None:
        others, self._untold = self._untold, 0
        _logger.warning("%s: refused %d others", self._resource, others)
        self._record(
            {
                "action": "forward.refused",
                "resource": self._resource,
                "outcome": "failure",
                "reason": f"{others} others within the same second",
            }
        )
