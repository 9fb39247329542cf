"""Promotion: what a backup site holds is verified, compared with what others kept, and stated."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from muniment.cli import main
from muniment.clock import SystemClock
from muniment.data_directory import DataDirectory
from muniment.log import Acknowledgement, Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.note import Note, Verifier
from muniment.promotion import ACTION
from muniment.receive.groups import pack_records
from muniment.receive.header import Origin
from muniment.settings import load
from muniment.shards import close_shards, open_shards
from muniment.store.marks import Mark, Why, write_mark
from muniment.store.read_only import ReadOnlyShard
from muniment.storing import Stores
from muniment.trust.directory import verify_directory

LINES = [f"line {number}".encode() for number in range(30)]


class Site:
    """A primary site with one shard, and the directory of a backup that mirrored some of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.backup = root, root / "backup"
        self.out = root / "promotion.json"
        settings = load({"data": root / "primary", "node": "a"}, environment={})
        disk, clock = PosixDisk(), SystemClock()
        directory = DataDirectory(settings.data, disk, os.urandom)
        directory.claim()
        stores = Stores(settings, directory, disk=disk, clock=clock, randomness=os.urandom)
        shards = open_shards(settings, directory, stores, clock)
        (self.shard,) = shards["default"]
        self.folder = settings.data / "logs" / "default" / self.shard
        first = append(shards["default"][self.shard], LINES[:20])  # type: ignore[arg-type]
        published(shards["default"][self.shard], 20)  # type: ignore[arg-type]
        self._mirror()
        second = append(shards["default"][self.shard], LINES[20:])  # type: ignore[arg-type]
        close_shards(shards)
        stores.close()
        directory.release()
        self.mirrored_receipt = self._keep("first", first)
        self.newest_receipt = self._keep("second", second)

    def _mirror(self) -> None:
        copy = self.backup / "logs" / "default" / self.shard
        shutil.copytree(self.folder, copy, ignore=shutil.ignore_patterns(".*"))  # drafts go
        mark = Mark(Why.MIRRORED, "2026-01-01T00:00:00Z")
        write_mark(PosixDisk(), self.backup, "default", self.shard, mark)

    def _keep(self, name: str, answer: Acknowledgement) -> Path:
        path = self.root / name
        path.write_text(json.dumps({"receipt": answer.receipt}))
        return path

    def promote(self, *arguments: str | Path) -> tuple[int, str]:
        run = CliRunner().invoke(
            main, ["promote", "--data", str(self.backup), *map(str, arguments)]
        )
        return run.exit_code, run.output

    def own_entries(self) -> list[bytes]:
        """What the backup site wrote itself."""
        logs = self.backup / "logs" / "default"
        found = []
        for path in logs.iterdir() if logs.is_dir() else ():
            if path.name != self.shard:
                shard = ReadOnlyShard("default", path)
                found += [shard.reader.entry(index) for index in range(shard.size)]
        return found


def append(shard: Shard, lines: list[bytes]) -> Acknowledgement:
    chunks = pack_records(lines, "2026-01-01T00:00:00.000000Z", "a", Origin("http", "text"))
    return shard.submit(Batch(chunks)).result(30)


def published(shard: Shard, size: int) -> None:
    """Waits for the checkpoint: what is copied in between is torn."""
    deadline = time.monotonic() + 30
    while shard.published_size < size:
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.01)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_is_held_is_stated_in_the_own_log_and_signed(site: Site) -> None:
    code, output = site.promote("--trust", site.mirrored_receipt, "--out", site.out)
    assert code == 0, output
    assert f"default/{site.shard}: 20 entries" in output
    (entry,) = site.own_entries()
    record = json.loads(entry.partition(b"\n")[2])
    assert (record["action"], record["held"][0]["size"]) == (ACTION, 20)
    said = json.loads(site.out.read_text())
    verifier = Verifier.parse((site.folder / "verifier").read_text())
    Note.parse(said["held"][0]["checkpoint"]).check([verifier])
    assert len(said["receipts"]) == 1
    assert verify_directory(site.backup, trust=said["receipts"]).intact


def test_acknowledged_entries_that_are_not_here_are_named(site: Site) -> None:
    code, output = site.promote("--trust", site.newest_receipt, "--json")
    assert code == 1
    said = json.loads(output.splitlines()[0])
    assert said["held"][0]["missing"] == [20, 29]
    assert "10 entries that were acknowledged elsewhere are not" in site.own_entries()[0].decode()


def test_a_flipped_bit_is_found_and_stated(site: Site) -> None:
    segment = next((site.backup / "logs" / "default" / site.shard).glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[-40] ^= 1
    segment.chmod(0o600)
    segment.write_bytes(data)
    code, output = site.promote("--json")
    assert code != 0
    assert "findings" in output or "expected" in output


def test_a_shard_of_which_nothing_is_here_is_named(site: Site) -> None:
    name = site.shard
    text = site.newest_receipt.read_text().replace(
        f"/default/{name}", f"/default/{'a' * len(name)}"
    )
    site.newest_receipt.write_text(text)
    code, output = site.promote("--trust", site.newest_receipt, "--json")
    assert code == 1
    lost, here = json.loads(output.splitlines()[0])["held"]
    assert (lost["log"], lost["shard"], here["shard"]) == ("default", "a" * len(name), name)
    assert "30 entries is known: nothing of the shard is here" in lost["findings"][0]
    assert "1 shards do not verify" in site.own_entries()[0].decode()


def test_what_is_known_of_a_log_that_this_site_does_not_have_is_said(site: Site) -> None:
    text = site.newest_receipt.read_text().replace("/default/", "/other/")
    site.newest_receipt.write_text(text)
    code, output = site.promote("--trust", site.newest_receipt, "--json")
    assert code == 1
    assert json.loads(output.splitlines()[0])["held"][0]["log"] == "other"
    assert len(site.own_entries()) == 1


def test_a_second_run_says_it_again(site: Site) -> None:
    assert [site.promote()[0] for _ in range(2)] == [0, 0]
    assert len(site.own_entries()) == 2


def test_a_dry_run_writes_nothing(site: Site) -> None:
    code, output = site.promote("--dry-run", "--out", site.out)
    assert (code, site.own_entries(), site.out.exists()) == (0, [], False), output


def test_a_file_that_is_there_and_a_site_without_shards_are_refused(
    site: Site, tmp_path: Path
) -> None:
    site.out.write_text("{}")
    assert site.promote("--out", site.out)[0] == 2
    assert site.own_entries() == []
    assert site.promote("--out", tmp_path / "none" / "out")[0] == 2
    assert site.own_entries() == []
    site.backup = tmp_path / "empty"
    code, output = site.promote()
    assert code == 2
    assert "holds no shard of another node" in output
