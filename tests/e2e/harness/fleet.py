"""Nodes that share a write-ahead store and an archive on a real gateway, each with its own disk."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from muniment.data_names import ARCHIVE, LOGS
from muniment.log.disk import PosixDisk
from muniment.store.archive.catalog import FileCatalog
from muniment.store.opening import open_store
from muniment.store.tiered import TieredDisk
from muniment.store.tree import Companion

from .process import Process
from .s3_server import S3Server
from .server import LOG, MunimentServer
from .waiting import wait_for

CONFIG = """
durability = "replicated"
segment_size = "1MiB"
segment_age = "2s"
cache_size = "1MiB"
worm_check = "off"
node = "{node}"

[wal]
{wal}
patience = 4
timeout = 3
takeover_secret = "{secret}"

[[store]]
lock = "compliance"
{archive}

[retention.default]
minimum = "1d"
"""


class Fleet:
    """Nodes on one pair of buckets; each has a data directory, an address and a configuration."""

    def __init__(self, directory: Path, gateway: S3Server, **wal: Any) -> None:
        """`wal` are other fields of the connection to the write-ahead store."""
        self.directory = directory
        self._gateway = gateway
        self._secret = directory / "secret"
        self._secret.write_text(os.urandom(32).hex())
        self._secret.chmod(0o600)
        self._archive = gateway.lock_bucket()
        self._wal = gateway.plain_bucket()
        self._stores = {
            "wal": table(gateway, self._wal, **wal),
            "archive": table(gateway, self._archive),
        }
        self._nodes = 0
        self._servers: list[MunimentServer] = []

    def node(self, data: Path | None = None) -> MunimentServer:
        """Returns a node with a disk of its own, not started."""
        self._nodes += 1
        name = f"node-{self._nodes}"
        folder = self.directory / name
        folder.mkdir()
        config = CONFIG.format(node=name, secret=self._secret, **self._stores)
        server = MunimentServer(data or folder / "data", folder / "serve.txt", config=config)
        primary = open_store(self._gateway.connection(self._archive), "primary")
        catalog = FileCatalog(server.data / ARCHIVE, "primary")
        server.disk = TieredDisk(PosixDisk(), server.data / LOGS, catalog, primary)
        self._servers.append(server)
        return server

    def local_node(self) -> MunimentServer:
        """Returns a node that is not replicated, and archives."""
        server = self.node()
        config = server.output.parent / "serve.toml"
        text = config.read_text()
        wal = text[text.index("[wal]") : text.index("[[store]]")]
        config.write_text(text.replace(wal, "").replace('durability = "replicated"\n', ""))
        return server

    def successor(self, server: MunimentServer) -> MunimentServer:
        """Returns another node on the address of one that is gone, whose disk is deleted."""
        shutil.rmtree(server.data, ignore_errors=True)
        found = self.node()
        found.port, found.syslog_port, found.url = server.port, server.syslog_port, server.url
        found.http.base_url = server.url
        return found

    def takeover(self, server: MunimentServer, kill_after: float | None = None) -> None:
        """Runs `muniment takeover` for a node that does not run, or kills it after some seconds."""
        process = self._run(server, "takeover", LOG, "--data", str(server.data))
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
            process.stop()
            return
        wait_for(lambda: not process.running, "the takeover to end", 120)
        assert process.stop() == 0, process.printed()[-2000:]

    def verify(self, server: MunimentServer, receipts: list[str]) -> None:
        """A node's directory, with what it has in the store, must go on from every receipt."""
        trusted = server.output.parent / "receipts"
        trusted.write_text("".join(receipts))
        process = self._run(server, "verify", str(server.data), "--trust", str(trusted))
        wait_for(lambda: not process.running, "verify to end", 120)
        assert process.stop() == 0, process.printed()[-4000:]

    def _run(self, server: MunimentServer, *arguments: str) -> Process:
        folder = server.output.parent
        command = [sys.executable, "-m", "muniment", *arguments]
        return Process([*command, "--config", str(folder / "serve.toml")], folder / "command.txt")

    def ahead(self) -> int:
        """Returns how many write-ahead objects and fences there are."""
        store = open_store(self._gateway.connection(self._wal), "wal")
        try:
            return sum(1 for _ in store.list("wal/"))
        finally:
            store.close()

    def archived(self) -> int:
        """Returns how many entries of the one shard the archive has, segment after segment."""
        store = open_store(self._gateway.connection(self._archive), "primary")
        try:
            keys = [item.key for item in store.list(f"logs/{LOG}/")]
            segments = [key for key in keys if key.endswith(".seg")]
            if not segments:
                return 0
            key = max(segments).removesuffix(".seg") + ".tree"
            return Companion.decode(store.get(key), key).size
        finally:
            store.close()

    def close(self) -> None:
        """Ends the nodes that still run."""
        for server in self._servers:
            server.close()


def table(gateway: S3Server, bucket: str, **more: Any) -> str:
    """Returns the keys of a store's table in TOML."""
    connection = gateway.connection(bucket, **more)
    assert connection.secret_key is not None
    keys = {
        "url": connection.url,
        "endpoint": connection.endpoint,
        "region": connection.region,
        "access_key": connection.access_key,
        "secret_key": connection.secret_key.get_secret_value(),
    }
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
