"""What was refused is said: counted, logged, and recorded in the log itself, within a bound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from muniment.clock import Clock

MOST_A_SECOND = 10
"""Records; what is refused beyond that is counted, and its number stands in the next record."""

_logger = logging.getLogger(__name__)


class Refusals:
    """Tells of refusals. `record` puts a record of Muniment's own into the log."""

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
        if self._untold:
            fields["others"], self._untold = self._untold, 0
        _logger.warning("%s: refused %s: %s", self._resource, peer, reason)
        self._record(fields)
