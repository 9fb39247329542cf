"""librdkafka by the Python client `confluent-kafka`: options, and how its errors are told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from muniment.clock import Clock
from muniment.errors import SettingsError

OURS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": False,
}
"""What durability rests on: these options cannot be set."""

DEFAULTS = {
    "auto.offset.reset": "earliest",
    "queued.max.messages.kbytes": 16_384,
    "reconnect.backoff.max.ms": 5_000,
}

NAMED = ("bootstrap.servers", "group.id")
SILENCE_SECONDS = 60.0
"""The same error is logged no more often."""

_logger = logging.getLogger(__name__)


def load() -> Any:
    """Returns the module. Raises SettingsError where it is not installed."""
    try:
        return import_module("confluent_kafka")
    except ImportError as error:
        raise SettingsError(
            "a Kafka receiver needs the extra `kafka`: pip install 'muniment[kafka]'"
        ) from error


def check(options: Mapping[str, str]) -> None:
    """Raises SettingsError where an option is not the user's to set."""
    for name in options:
        if name in OURS or name.endswith("_cb"):
            raise SettingsError(f"kafka: the option {name} is set by Muniment itself")
        if name in NAMED:
            raise SettingsError(f"kafka: write brokers and group instead of the option {name}")


def consumer(
    module: Any,
    named: Sequence[str],
    options: Mapping[str, str],
    client: str,
    callbacks: Mapping[str, Callable[..., None]],
) -> Any:
    """Returns a consumer; `named` are its brokers and its group.

    Raises SettingsError where librdkafka does not take an option; its value is not told.
    """
    values = {
        "client.id": client,
        **DEFAULTS,
        **options,
        **OURS,
        **dict(zip(NAMED, named, strict=True)),
    }
    try:
        return module.Consumer({**values, **callbacks}, logger=_logger)
    except module.KafkaException as error:
        text = error.args[0].str()
        for value in options.values():
            text = text.replace(value, "...") if value else text
        raise SettingsError(f"kafka: {text}") from None


class Troubles:
    """Counts errors of the cluster, and tells each kind from time to time."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name, self._clock = name, clock
        self._told: dict[int, float] = {}
        self.count = 0

    def tell(self, error: Any) -> None:
        """Takes a KafkaError; for any thread."""
        self.count += 1
        now = self._clock.monotonic()
        if now - self._told.get(error.code(), -SILENCE_SECONDS) >= SILENCE_SECONDS:
            self._told[error.code()] = now
            _logger.warning("%s: %s", self._name, error.str())
