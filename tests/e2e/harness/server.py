"""`muniment serve` as a child process, and what its HTTP face answers."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from muniment.log import ShardReader
from muniment.log.disk import Disk, PosixDisk

from .process import Process, children, command_line, free_port, resident_bytes
from .waiting import wait_for

LOG = "default"


class MunimentServer:
    """One server on one data directory; it keeps its addresses over restarts.

    `config` is the text of a settings file, for `[[receive]]` tables and the like.
    """

    def __init__(
        self,
        data: Path,
        output: Path,
        env: Mapping[str, str] | None = None,
        port: int = 0,
        config: str = "",
    ) -> None:
        self.data = data
        self.output = output
        self.port = port or free_port()
        self.syslog_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self._env = {"TZ": "UTC", **(env or {})}
        self.disk: Disk = PosixDisk()
        self._process: Process | None = None
        self._config: Path | None = None
        if config:
            self._config = output.with_suffix(".toml")
            self._config.write_text(config)

    def start(self, *, ready: bool = True) -> None:
        """Starts the server; waits until it is ready unless told otherwise."""
        command = [sys.executable, "-m", "muniment", "serve", "--data", str(self.data)]
        command += ["--listen", f"127.0.0.1:{self.port}"]
        command += ["--syslog", f"127.0.0.1:{self.syslog_port}"]
        if self._config is not None:
            command += ["--config", str(self._config)]
        self._process = Process(command, self.output, self._env)
        if ready:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Waits until `/readyz` says so."""

        def ready() -> bool:
            assert self.process.running, f"the server ended:\n{self.process.printed()[-4000:]}"
            with contextlib.suppress(httpx.TransportError):
                answer = self.http.get("/readyz", timeout=5)
                search = answer.json().get("search", {}) if answer.status_code == 200 else {}
                starting = "process is starting" in str(search.get("reason", ""))
                return answer.status_code == 200 and not starting
            return False

        wait_for(ready, "the server to be ready", 120)

    @property
    def process(self) -> Process:
        """The server process."""
        assert self._process is not None, "the server was not started"
        return self._process

    @property
    def query_pid(self) -> int:
        """The process id of the query process."""

        def found() -> list[int]:
            below = children(self.process.pid)
            return [pid for pid in below if b"muniment.query" in command_line(pid)]

        return int(wait_for(found, "a query process")[0])

    @property
    def admin_token(self) -> str:
        """The token that the first start showed."""
        found = re.search(r"mun_\w{8}_[\w-]{43}", self.process.printed())
        assert found, "no token was shown"
        return found[0]

    def kill(self) -> None:
        """kill -9 of the server process, at whatever it is doing."""
        self.process.kill()

    def restart(self) -> None:
        """Stops the server and starts it on the same directory and addresses."""
        self.stop()
        self.start()

    def stop(self) -> int:
        """Ends the server in the ordinary way; returns the exit status."""
        return self.process.stop()

    def close(self) -> None:
        """Ends what still runs."""
        self.http.close()
        if self._process is not None:
            self._process.end_group()

    def resident_bytes(self, *, peak: bool = False) -> int:
        """Returns the resident set of the server process without its children."""
        return resident_bytes(self.process.pid, peak)

    def append(
        self, body: bytes, *, source: str = "text", kind: str = "text/plain", **headers: str
    ) -> httpx.Response:
        """Posts entries to the default log; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(
            f"/api/v1/logs/{LOG}/entries",
            params={"as": source},
            content=body,
            headers={"Content-Type": kind, **named},
        )

    def accepted(self, body: bytes, **options: Any) -> dict[str, Any]:
        """As `append`, and the answer must be an acknowledgement."""
        answer = self.append(body, **options)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def shard(self) -> dict[str, Any]:
        """Returns what the server says of the one shard of the default log."""
        (log,) = [log for log in self.get("/api/v1/logs")["logs"] if log["name"] == LOG]
        (shard,) = log["shards"]
        return dict(shard)

    def get(self, path: str, **params: Any) -> Any:
        """GETs JSON; any answer but 200 fails the test."""
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, f"{path} {params}: {answer.status_code} {answer.text}"
        return answer.json()

    def entry(self, index: int, shard: str | None = None) -> bytes:
        """Returns the bytes of one entry, receipt header included."""
        shard = shard or self.shard()["shard"]
        answer = self.http.get(f"/api/v1/logs/{LOG}/shards/{shard}/entries/{index}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def stored(self, first: int = 0) -> list[bytes]:
        """Returns all durable entries from `first` on, read from the files beside the server."""
        shard = self.shard()
        directory = self.data / "logs" / LOG / shard["shard"]
        return stored_entries(directory, shard["size"], first, self.disk)

    def search(self, q: str, **params: Any) -> dict[str, Any]:
        """Returns one page of a search, newest first unless told otherwise."""
        return dict(self.get(f"/api/v1/logs/{LOG}/search", q=q, **params))

    def rows(self, q: str, page: int = 500) -> Iterator[dict[str, Any]]:
        """Yields the rows of all pages of a search."""
        answer = self.search(q, limit=page)
        while True:
            yield from answer["rows"]
            if not answer["next"]:
                return
            answer = self.search(q, limit=page, cursor=answer["next"])

    def sql(self, statement: str) -> list[list[Any]]:
        """Returns the rows of a SQL statement."""
        answer = self.http.post("/api/v1/sql", json={"query": statement})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["rows"])

    def wait_indexed(self, seconds: float = 60.0) -> None:
        """Waits until search has seen every entry that is durable now."""
        shard = self.shard()

        def indexed() -> bool:
            answer = self.http.get(f"/api/v1/logs/{LOG}/search", params={"q": "", "limit": 1})
            if answer.status_code != 200:
                return False
            return int(answer.json()["indexed"].get(shard["shard"], 0)) >= int(shard["size"])

        wait_for(indexed, f"search to see all {shard['size']} entries", seconds)


def stored_entries(
    directory: Path, size: int, first: int = 0, disk: Disk | None = None
) -> list[bytes]:
    """Returns the entries from `first` to `size` of a shard's directory."""
    reader = ShardReader(directory, disk)
    reader.advance(size)
    entries: list[bytes] = []
    while first + len(entries) < size:
        entries += reader.read(first + len(entries)).entries
    return entries


def split_entry(entry: bytes) -> tuple[bytes, bytes]:
    """Returns the receipt header and the bytes as they arrived."""
    header, newline, raw = entry.partition(b"\n")
    assert newline, entry
    return header, raw


@contextlib.contextmanager
def serving(
    directory: Path,
    env: Mapping[str, str] | None = None,
    *,
    data: Path | None = None,
    config: str = "",
) -> Iterator[MunimentServer]:
    """A running server whose files are below `directory`; it is gone afterwards."""
    output = directory / "serve.txt"
    server = MunimentServer(data or directory / "data", output, env, config=config)
    try:
        server.start()
        yield server
    finally:
        server.close()
