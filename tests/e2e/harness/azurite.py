"""Azurite, Microsoft's emulator of Azure Storage: its blob service, on loopback, in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .npm import installed
from .process import Process, free_port

VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
KEY = "bXVuaW1lbnQncyBvd24ga2V5IGZvciB0ZXN0cyBvbmx5ISEh"
"""The account and its key, as this test makes them."""


class Azurite:
    """A running blob service. Secrets are those above, so that nothing real is ever used."""

    def __init__(self, process: Process, port: int) -> None:
        self.process, self.endpoint = process, f"http://127.0.0.1:{port}/{ACCOUNT}"


@contextlib.contextmanager
def azurite(directory: Path) -> Iterator[Azurite]:
    """Runs Azurite until the end of the block; skips without npm."""
    program = installed(f"azurite@{VERSION}") / "azurite" / "dist" / "src" / "blob" / "main.js"
    port = free_port()
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    options += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    environment = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    process = Process(["node", str(program), *options], directory / "azurite.log", environment)
    try:
        process.wait_listening(port, 60)
        yield Azurite(process, port)
    finally:
        process.stop()
