"""Shipping: the oldest parcel of the spool, to one endpoint after the other, until one keeps it.

The endpoint that took the last parcel is asked first. One that cannot be reached is passed over at
once; one that got a parcel and gave no answer is asked again a few times first, because it knows a
repetition, and another server does not. Where all fail, the pauses grow, with jitter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random
from threading import Event

from muniment.capture.endpoint import Endpoint, NotTaken
from muniment.capture.spool.outgoing import Outgoing, Waiting
from muniment.clock import Clock

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
SAME_TRIES = 3
"""How often an endpoint that gave no answer is asked before another one is."""

TAKE_SECONDS = 0.5

_logger = logging.getLogger(__name__)


class Shipper:
    """Sends what the spool holds. `run` is one thread's."""

    def __init__(
        self,
        outgoing: Outgoing,
        endpoints: Sequence[Endpoint],
        note: Callable[..., None],
        clock: Clock,
        random: Random,
    ) -> None:
        self._outgoing, self._endpoints, self._note = outgoing, endpoints, note
        self._clock, self._random = clock, random
        self._current = 0
        self._troubled: dict[str, str] = {}
        self._deadline: float | None = None
        self._ending = Event()
        self.sent = 0

    @property
    def endpoint(self) -> str:
        """The endpoint that is asked first now."""
        return self._endpoints[self._current].url

    @property
    def trouble(self) -> dict[str, str]:
        """What the endpoints that took nothing last said, by their addresses."""
        return dict(self._troubled)

    def run(self) -> None:
        """Sends until `end` is called, and then what there is until its deadline."""
        try:
            while True:
                ending = self._ending.is_set()
                try:
                    waiting = self._outgoing.take(0.0 if ending else TAKE_SECONDS)
                    if waiting is not None and not self._deliver(waiting):
                        return
                    if waiting is None and ending:
                        return
                except OSError as error:
                    _logger.error("the spool cannot be read: %s", error)
                    if self._pause(1.0):
                        return
        finally:
            for endpoint in self._endpoints:
                endpoint.close()

    def end(self, seconds: float) -> None:
        """Lets `run` end when all is sent, after so many seconds at the latest."""
        self._deadline = self._clock.monotonic() + seconds
        self._ending.set()

    def _deliver(self, waiting: Waiting) -> bool:
        """Sends one parcel until it is kept; False where the time was over before."""
        frame, pause, same, asked = waiting.frame, FIRST_PAUSE, 0, 0
        while True:
            endpoint = self._endpoints[self._current]
            try:
                endpoint.post(frame.parcel, frame.count)
            except NotTaken as error:
                self._tell_trouble(endpoint, error)
                wait = error.wait
                if error.sent and same < SAME_TRIES:
                    same += 1
                else:
                    same, asked = 0, asked + 1
                    self._current = (self._current + 1) % len(self._endpoints)
                    if asked % len(self._endpoints):
                        continue
                if self._pause(max(wait, pause * self._random.uniform(0.5, 1.0))):
                    return False
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._tell_well(endpoint)
                self._outgoing.acknowledge(waiting)
                self.sent += frame.count
                return True

    def _pause(self, seconds: float) -> bool:
        """Waits; returns whether the time to send is over."""
        left = seconds
        if self._deadline is not None:
            left = min(seconds, self._deadline - self._clock.monotonic())
            if left <= 0:
                return True
            Event().wait(left)
        elif self._ending.wait(left):
            return False
        return self._deadline is not None and self._clock.monotonic() >= self._deadline

    def _tell_trouble(self, endpoint: Endpoint, error: NotTaken) -> None:
        if endpoint.url not in self._troubled:
            _logger.warning("%s", error.detail)
            action = "capture.endpoint_refuses" if error.refused else "capture.endpoint_lost"
            self._note(action, endpoint=endpoint.url, detail=error.detail)
        self._troubled[endpoint.url] = error.detail

    def _tell_well(self, endpoint: Endpoint) -> None:
        if self._troubled.pop(endpoint.url, None) is not None:
            _logger.warning("%s takes parcels again", endpoint.url)
            self._note("capture.endpoint_back", endpoint=endpoint.url)
