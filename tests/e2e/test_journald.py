"""A real systemd-journald: over stops of the feed nothing is lost or doubled, bytes stay bytes.

The journal is one of its own, in a namespace (journald.conf(5)), and is gone afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from muniment.capture.feeds.journald import Journal, Settings
from muniment.capture.spool.spool import Spool
from muniment.log.disk import PosixDisk

from .harness.process import Process
from .harness.waiting import wait_for

JOURNALD = Path("/usr/lib/systemd/systemd-journald")
NAMESPACE = f"muniment{os.getpid()}"
SOCKET = Path(f"/run/systemd/journal.{NAMESPACE}/socket")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket of a running journald."""
    if os.geteuid() or not JOURNALD.exists() or shutil.which("journalctl") is None:
        pytest.skip("needs root, systemd-journald and journalctl")
    daemon = Process([str(JOURNALD), NAMESPACE], tmp_path / "journald.txt")
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        try:
            wait_for(SOCKET.exists, "journald to listen", 10)
        except AssertionError:
            pytest.skip(f"journald does not run here: {daemon.printed()[-500:]}")
        client.connect(str(SOCKET))
        yield client
    finally:
        client.close()
        daemon.stop()
        for folder in ("/run/log/journal", "/var/log/journal", "/run/systemd"):
            for path in Path(folder).glob(f"*.{NAMESPACE}"):
                shutil.rmtree(path, ignore_errors=True)


def test_entries_of_a_real_journal_over_stops(tmp_path: Path, journal: socket.socket) -> None:
    settings = Settings.model_validate(
        {
            "name": "system",
            "matches": [f"--namespace={NAMESPACE}", "SYSLOG_IDENTIFIER=edge"],
            "parcel_age": 0.1,
        }
    )
    spool = Spool(tmp_path / "spool", "lb1", PosixDisk(), limit=8 << 20)
    for number in range(3):
        for entry in range(50):
            send(journal, b"line %d" % (100 * number + entry))
        follow(settings, spool, 50 * (number + 1))
        send(journal, b"line %d" % (100 * number + 50))
    send(journal, b"bytes \xff\x00 and\nlines")
    follow(settings, spool, 154)
    entries = [json.loads(record) for record in records(spool)]
    spool.close()
    said = [entry["MESSAGE"] for entry in entries]
    expected = [f"line {100 * number + entry}" for number in range(3) for entry in range(51)]
    assert said == [*expected, list(b"bytes \xff\x00 and\nlines")]
    assert len({entry["__CURSOR"] for entry in entries}) == 154


def send(client: socket.socket, message: bytes) -> None:
    """Sends one entry in the native protocol, in the form for any bytes."""
    field = b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n"
    client.send(field + b"SYSLOG_IDENTIFIER=edge\nPRIORITY=6\n")


def follow(settings: Settings, spool: Spool, least: int) -> None:
    """Runs the feed until so many records of it are in the spool."""
    stopping = Event()
    thread = Thread(target=Journal(settings).run, args=(spool, stopping), daemon=True)
    thread.start()
    wait_for(lambda: captured(spool) >= least, lambda: f"{captured(spool)} of {least} entries", 30)
    stopping.set()
    thread.join(20)
    assert not thread.is_alive()


def captured(spool: Spool) -> int:
    standing = spool.standings().get("lb1/system")
    return standing.next - 1 if standing else 0


def records(spool: Spool) -> Iterator[bytes]:
    """All records that wait in the spool."""
    import zstandard

    from muniment.capture.parcel import decode

    while (waiting := spool.outgoing.take(0)) is not None:
        data = zstandard.ZstdDecompressor().decompress(waiting.frame.parcel)
        yield from decode(data).records
        spool.outgoing.acknowledge(waiting)
