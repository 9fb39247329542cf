"""`muniment doctor` looks at each store of the settings."""

from __future__ import annotations

from pathlib import Path

from muniment.cli.diagnosis.stores import look_at_stores


def found(config: Path) -> dict[str, tuple[str, str]]:
    """What is said of stores and settings, by check."""
    return {one.check: (one.result, one.detail) for one in look_at_stores(config)}


def settings(tmp_path: Path, text: str) -> Path:
    """Writes settings."""
    path = tmp_path / "muniment.toml"
    path.write_text(text.replace("HERE", str(tmp_path)))
    return path


ARCHIVE = '[[store]]\nname = "shelf"\nurl = "file://HERE/shelf"\n'


def test_without_stores_nothing_is_said(tmp_path: Path) -> None:
    assert found(settings(tmp_path, 'syslog = "off"\n')) == {}


def test_a_store_that_answers(tmp_path: Path) -> None:
    result, detail = found(settings(tmp_path, ARCHIVE))["store shelf"]
    assert result == "ok" and "nothing in it is locked" in detail


def test_a_store_that_is_not_there_names_the_url(tmp_path: Path) -> None:
    config = settings(tmp_path, ARCHIVE.replace("HERE", "HERE/not/there"))
    result, detail = found(config)["store shelf"]
    assert result == "fail"
    assert f"file://{tmp_path}/not/there/shelf" in detail and "look at" in detail


def test_a_lock_for_no_time_or_where_nothing_can_be_locked(tmp_path: Path) -> None:
    result, detail = found(settings(tmp_path, ARCHIVE + 'lock = "compliance"\n'))["store shelf"]
    assert result == "fail"
    assert "for no time" in detail or "cannot lock" in detail


def test_the_write_ahead_store_and_its_secret(tmp_path: Path) -> None:
    text = 'durability = "replicated"\n[wal]\nurl = "file://HERE/wal"\n'
    assert found(settings(tmp_path, text + ARCHIVE))["wal"][0] == "warn"
    secret = tmp_path / "secret"
    secret.write_text("x" * 32)
    secret.chmod(0o644)
    text += 'takeover_secret = "HERE/secret"\n'
    result, detail = found(settings(tmp_path, text + ARCHIVE))["wal"]
    assert result == "fail" and "chmod 600" in detail
    secret.chmod(0o600)
    assert found(settings(tmp_path, text + ARCHIVE))["wal"][0] == "ok"


def test_settings_that_are_wrong(tmp_path: Path) -> None:
    result, detail = found(settings(tmp_path, '[[store]]\nurl = "ftp://x"\n'))["settings"]
    assert result == "fail" and "store.0.url" in detail
