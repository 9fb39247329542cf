"""The OpenTelemetry SDK for Python as a sender of log records, over either of its exporters."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk._logs", reason="the SDK is missing")

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

BATCH = 50


class Counting:
    """Before an exporter among the bases of a class: counts what became of its requests."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.answered = 0
        self.wrong: list[str] = []

    def export(self, batch: Any) -> LogRecordExportResult:
        result: LogRecordExportResult = super().export(batch)  # type: ignore[misc]
        if result is LogRecordExportResult.SUCCESS:
            self.answered += 1
        else:
            self.wrong.append(f"a batch of {len(batch)}")
        return result


class Edge:
    """A program whose log records go out through the SDK."""

    def __init__(self, exporter: Any, name: str = "edge") -> None:
        self.exporter = exporter
        self.processor = BatchLogRecordProcessor(
            exporter, schedule_delay_millis=20, max_export_batch_size=BATCH, max_queue_size=1 << 20
        )
        self._provider = LoggerProvider(Resource.create({"service.name": name}))
        self._provider.add_log_record_processor(self.processor)
        self._logger = self._provider.get_logger("access", "1.0", "https://example.com/schema")

    def emit(self, body: str, **fields: Any) -> None:
        severity = {"severity_number": SeverityNumber.INFO, "severity_text": "INFO"}
        self._logger.emit(LogRecord(timestamp=time.time_ns(), body=body, **severity, **fields))

    def close(self) -> None:
        """Ends once everything is answered."""
        self._provider.force_flush(60_000)
        self._provider.shutdown()


class Stream:
    """Records one after the other, as a sender for `send_through_kills`."""

    def __init__(self, exporter: Any, name: str, count: int) -> None:
        self._edge, self._name, self._count = Edge(exporter, name), name, count
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def answered(self) -> int:
        return int(self._edge.exporter.answered)

    @property
    def wrong(self) -> list[str]:
        return list(self._edge.exporter.wrong)

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        for number in range(self._count):
            self._edge.emit(f"{self._name} {number}")
            if number % 20 == 0:
                time.sleep(0.005)
        self._edge.close()
