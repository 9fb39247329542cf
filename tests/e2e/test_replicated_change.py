"""A node that changes between the durabilities `local` and `replicated`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness.ceph import Ceph
from .harness.fleet import Fleet
from .harness.server import MunimentServer, split_entry
from .harness.waiting import wait_for


@pytest.fixture
def fleet(tmp_path: Path, ceph: Ceph) -> Iterator[Fleet]:
    found = Fleet(tmp_path, ceph)
    yield found
    found.close()


class Changing:
    """A node, its two configurations, and what it was sent."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.server = fleet, fleet.node()
        self.config = self.server.data.parent / "serve.toml"
        self.replicated = self.config.read_text().replace('"2s"', '"1h"')
        wal = self.replicated[self.replicated.index("[wal]") : self.replicated.index("[[store]]")]
        self.local = self.replicated.replace(wal, "").replace('durability = "replicated"\n', "")
        self.lines: list[bytes] = []

    def run(self, config: str, entries: int, *, crash: bool = False) -> None:
        """Starts the node with a configuration, sends entries one by one, and ends it."""
        self.config.write_text(config)
        self.server.start()
        for _ in range(entries):
            self.lines.append(b"entry %d" % len(self.lines))
            self.server.accepted(self.lines[-1])
        if crash:
            self.server.kill()
        else:
            self.server.stop()

    def successor(self) -> MunimentServer:
        """Another node, to take over; the disk of this one is gone."""
        self.server.kill()
        return self.fleet.successor(self.server)

    def archive(self) -> None:
        """Runs the node as replicated until the archive has what came before."""
        self.config.write_text(self.replicated)
        self.server.start()
        wait_for(self._archived, "the archive")

    def _archived(self) -> bool:
        """Whether all that was sent by now is in segments that the archive has."""
        stored = self.fleet.archived()
        return stored >= len(self.lines)


def assert_has(server: MunimentServer, lines: list[bytes]) -> None:
    """These, in this order, beside what the nodes put into the log themselves."""
    found = [split_entry(entry) for entry in server.stored()]
    assert [raw for header, raw in found if b'"via":"http"' in header] == lines


@pytest.mark.parametrize("entries", [0, 3])
def test_a_takeover_without_what_was_local_is_refused(fleet: Fleet, entries: int) -> None:
    """The key would sign a second history of entries that were promised and are gone."""
    node = Changing(fleet)
    node.run(node.local, 5)
    gone = without_archive(node)
    node.run(gone, entries, crash=True)
    with pytest.raises(AssertionError, match=r"none below \d+: \d+ entries are missing"):
        fleet.takeover(node.successor())


def without_archive(node: Changing) -> str:
    """The replicated configuration with a primary store that does not answer."""
    head, _, tail = node.replicated.partition("[[store]]")
    port = tail.partition('endpoint = "http://127.0.0.1:')[2].partition('"')[0]
    return head + "[[store]]" + tail.replace(f":{port}", ":1", 1)


def test_what_was_local_is_sealed_and_archived_and_can_be_taken_over(fleet: Fleet) -> None:
    node = Changing(fleet)
    node.run(node.local, 5)
    node.archive()
    assert "durability local" in node.server.process.printed()
    server = node.successor()
    fleet.takeover(server)
    server.start()
    assert_has(server, node.lines)


def test_there_and_back(fleet: Fleet) -> None:
    node = Changing(fleet)
    node.run(node.replicated, 3, crash=True)
    node.run(node.local, 3)
    node.run(node.replicated, 3)
    node.run(node.local, 3)
    node.archive()
    server = node.successor()
    fleet.takeover(server)
    server.start()
    assert_has(server, node.lines)
