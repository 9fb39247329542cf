"""The index of a log is made anew though most of the log is in the store only."""

from __future__ import annotations

from pathlib import Path

from carried_shard import LOG, SHARD, Node, settle
from click.testing import CliRunner

from muniment.cli import main
from muniment.clock import SystemClock
from muniment.log.disk import PosixDisk
from muniment.settings import StoreSettings
from muniment.store.archive import Archive, Cache, Destination
from muniment.store.opening import open_store


def test_a_rebuild_reads_what_was_evicted(node: Node, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    store = StoreSettings.model_validate({"name": "primary", "url": url})
    archive = Archive(
        node.data,
        {LOG: [SHARD]},
        [Destination(open_store(store, store.name))],
        disk=PosixDisk(),
        clock=SystemClock(),
        cache=Cache(size=1),
    )
    settle(archive)
    archive.stop(0)
    assert len(node.sealed()) == 1
    config = tmp_path / "muniment.toml"
    config.write_text(f'[[store]]\nname = "primary"\nurl = "{url}"\n')
    command = ["index", "rebuild", LOG, "--data", str(node.data), "--config", str(config)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert f"{node.size} entries indexed" in done.output
