"""Kafka: a receiver that commits offsets only once the records are durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from threading import Event, Thread

from muniment.clock import Clock
from muniment.receive.kafka.client import Troubles
from muniment.receive.kafka.member import RETRY_SECONDS, VIA, Group, Member, StoppedError
from muniment.receive.kafka.meters import Meters
from muniment.receive.port import Count
from muniment.receive.target import Target

STOP_SECONDS = 15.0

_logger = logging.getLogger(__name__)


class KafkaConsumer:
    """The receiver: a member of its group on a thread of its own, and another one if that fails.

    `options` are librdkafka's, as text: TLS, SASL, limits. Raises SettingsError where the client
    is not installed or does not take the options.
    """

    def __init__(
        self,
        brokers: str,
        topics: Sequence[str],
        group: str,
        target: Target,
        clock: Clock,
        *,
        node: str,
        source: str = "text",
        name: str = VIA,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._group = Group(brokers, list(topics), group, source, dict(options or {}))
        self._target, self._clock, self._node, self._name = target, clock, node, name
        self.meters, self.troubles = Meters(), Troubles(name, clock)
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._member = self._join()

    @property
    def name(self) -> str:
        """What tells it apart from the others, in the metrics too."""
        return self._name

    @property
    def address(self) -> str:
        """The brokers to begin with."""
        return self._group.brokers

    @property
    def counts(self) -> Sequence[Count]:
        """Its numbers."""
        return self.meters.counts(self._name, self.troubles)

    async def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    async def stop(self) -> None:
        """Finishes the round under way, commits, and leaves the group."""
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        else:
            await asyncio.to_thread(self._member.leave)

    def _join(self) -> Member:
        return Member(
            self._group,
            self._target,
            self._clock,
            self.meters,
            self.troubles,
            self._stopping,
            node=self._node,
            name=self._name,
        )

    def _run(self) -> None:
        """The thread: consumes until it is told to stop, if need be as a new member."""
        while not self._stopping.is_set():
            try:
                self._member.consume()
            except StoppedError:
                _logger.warning("%s: stopped while the log took nothing", self._name)
            except Exception:
                _logger.exception("%s: the consumer failed and begins again", self._name)
            self._member.leave()
            self.meters.left()
            if not self._stopping.wait(RETRY_SECONDS):
                self._member = self._join()
