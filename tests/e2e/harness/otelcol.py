"""A real OpenTelemetry Collector that follows a file and sends each line by many protocols."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .process import Process
from .programs import go_program
from .server import MunimentServer

LOGS = {
    "otlp-protobuf": "otlphttp",
    "otlp-json": "otlphttp/json",
    "otlp-grpc": "otlp",
    "elastic": "elasticsearch",
    "splunk": "splunk_hec",
    "loki": "loki",
    "syslog": "syslog",
}
"""The log that each exporter writes to, by the protocol that it speaks."""

ACKNOWLEDGED = [log for log in LOGS if log != "syslog"]


@dataclass
class Collector:
    """A running collector: the file that it follows and what it printed."""

    process: Process
    file: Path

    def write(self, *lines: str) -> None:
        """Appends lines to the file."""
        with self.file.open("a") as stream:
            stream.write("".join(f"{line}\n" for line in lines))


def receiving(grpc: int) -> str:
    """The server's settings: a log for each exporter, and a listener for gRPC."""
    return (
        f"logs = {json.dumps(list(LOGS))}\n"
        'syslog_log = "syslog"\n'
        "[[receive]]\n"
        'protocol = "grpc"\n'
        f'listen = "127.0.0.1:{grpc}"\n'
        'log = "otlp-grpc"\n'
    )


@contextlib.contextmanager
def otelcol(
    directory: Path, server: MunimentServer, grpc: int, token: str, name: str = "otelcol"
) -> Iterator[Collector]:
    """A collector that sends to a server of `receiving(grpc)`; it is gone afterwards."""
    program = go_program("otelcol")
    file = directory / f"{name}.log"
    file.touch()
    config = directory / f"{name}.json"
    config.write_text(json.dumps(configuration(file, server, grpc, token)))
    process = Process([str(program), "--config", str(config)], directory / f"{name}.txt")
    try:
        yield Collector(process, file)
    finally:
        process.end_group()


def configuration(file: Path, server: MunimentServer, grpc: int, token: str) -> dict[str, Any]:
    """One pipeline from the file to every exporter; JSON is YAML too."""
    exporters = exporting(server, grpc, {"Authorization": f"Bearer {token}"}, token)
    follow = {
        "include": [str(file)],
        "start_at": "beginning",
        "poll_interval": "50ms",
        # What the syslog exporter sends is this attribute.
        "operators": [{"type": "copy", "from": "body", "to": "attributes.message"}],
    }
    return {
        "receivers": {"filelog": follow},
        "exporters": exporters,
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["filelog"], "exporters": list(exporters)}},
        },
    }


def exporting(
    server: MunimentServer, grpc: int, headers: dict[str, str], token: str
) -> dict[str, Any]:
    """All exporters; each tries again until it is answered."""
    pauses = {"initial_interval": "100ms", "max_interval": "500ms"}
    retry = {**pauses, "max_elapsed_time": 0}
    common = {"retry_on_failure": retry, "sending_queue": {"queue_size": 100_000}}
    http = {**common, "headers": headers}
    into = f"{server.url}/in"
    return {
        "otlphttp": {**http, "endpoint": f"{into}/otlp-protobuf"},
        "otlphttp/json": {
            **http,
            "endpoint": f"{into}/otlp-json",
            "encoding": "json",
            "compression": "none",
        },
        "otlp": {
            **common,
            "endpoint": f"127.0.0.1:{grpc}",
            "tls": {"insecure": True},
            "headers": {"authorization": headers["Authorization"]},
        },
        "elasticsearch": {
            "endpoint": f"{into}/elastic",
            "headers": headers,
            "flush": {"interval": "100ms"},
            "retry": {**pauses, "max_retries": 10_000},
        },
        "splunk_hec": {
            **common,
            "endpoint": f"{into}/splunk/services/collector",
            "token": token,
        },
        "loki": {**http, "endpoint": f"{into}/loki/loki/api/v1/push"},
        "syslog": {
            **common,
            "endpoint": "127.0.0.1",
            "port": server.syslog_port,
            "network": "tcp",
            "protocol": "rfc5424",
            "tls": {"insecure": True},
        },
    }
