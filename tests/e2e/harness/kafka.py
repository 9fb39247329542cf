"""A real Kafka broker: one node (KRaft), whose jars Maven resolves once a checkout."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .process import Process, free_port
from .programs import built, run
from .waiting import wait_for

VERSION = "3.9.1"
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>muniment.test</groupId><artifactId>kafka</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
    <version>{VERSION}</version>
  </dependency><dependency>
    <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
  </dependency></dependencies>
</project>
"""
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/broker
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.backoff.ms=200
"""
ID = "bXVuaW1lbnQtdGVzdHMtMQ"


class Broker:
    """A broker that keeps its address over restarts."""

    def __init__(self, java: str, jars: Path, directory: Path) -> None:
        self.port = free_port()
        self._command = [java, "-Xmx384m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._command += ["-cp", f"{jars}/*"]
        self._directory = directory
        self._config = directory / "server.properties"
        self._config.write_text(
            PROPERTIES.format(port=self.port, controller=free_port(), directory=directory)
        )
        self._process: Process | None = None
        form = [*self._command, "kafka.tools.StorageTool", "format", "-t", ID, "-c"]
        formatting = Process([*form, str(self._config)], directory / "format.txt")
        wait_for(lambda: not formatting.running, "the broker's disk to be formatted")
        assert formatting.stop() == 0, formatting.printed()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        command = [*self._command, "kafka.Kafka", str(self._config)]
        self._process = Process(command, self._directory / "kafka.txt")
        self._process.wait_listening(self.port, 60)

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()

    def close(self) -> None:
        """Ends what still runs."""
        if self._process is not None:
            self._process.end_group()


@contextlib.contextmanager
def kafka(directory: Path) -> Iterator[Broker]:
    """A running broker; it is gone afterwards."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed: no Kafka broker")
    broker = Broker(java, built("kafka", [POM.encode()], _resolve, ""), directory)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def _resolve(directory: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("mvn is not installed: Kafka's jars cannot be had")
    pom = directory / "pom.xml"
    pom.write_text(POM)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={directory}"]
    run("kafka", [maven, "-q", "-B", "-f", str(pom), *goal], directory)
