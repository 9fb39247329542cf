"""The log protocols over HTTP, in the order in which their paths are looked at."""

from __future__ import annotations

from collections.abc import Sequence

from muniment.receive.dialect import Dialect
from muniment.receive.dialects import capture, cloudevents, elastic, kubernetes, loki, otlp, splunk

DIALECTS: Sequence[Dialect] = (
    otlp.DIALECT,
    loki.DIALECT,
    splunk.DIALECT,
    kubernetes.DIALECT,
    cloudevents.DIALECT,
    elastic.DIALECT,
    capture.DIALECT,
)
