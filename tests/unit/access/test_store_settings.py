"""Stores, durability and retention: what the settings may say, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from muniment.errors import SettingsError
from muniment.settings import Durability, LockMode, Settings, load

Read = Callable[[str], Settings]
STORE = '[[store]]\nurl = "s3://evidence/prod/"\n'
WAL = '[wal]\nurl = "file:///var/lib/wal"\n'


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads settings out of a TOML text."""
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> Settings:
        (tmp_path / "muniment.toml").write_text(text)
        return load(environment={})

    return read


def test_the_default_is_one_node_without_a_store(read: Read) -> None:
    settings = read("")
    assert (settings.durability, settings.store, settings.wal) == (Durability.LOCAL, (), None)


def test_a_store_says_where_it_is_and_how_it_locks(read: Read) -> None:
    (store,) = read(STORE + 'lock = "compliance"\n').store
    assert (store.scheme, store.bucket, store.prefix) == ("s3", "evidence", "prod")
    assert (store.name, store.lock) == ("primary", LockMode.COMPLIANCE)
    wal = read('durability = "replicated"\n' + WAL + STORE).wal
    assert wal is not None and (wal.scheme, wal.prefix) == ("file", "/var/lib/wal")


def test_one_url_on_two_servers_is_two_places(read: Read) -> None:
    wal = STORE.replace("[[store]]", "[wal]") + 'endpoint = "https://s3.example.net"\n'
    assert read('durability = "replicated"\n' + wal + STORE).wal is not None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("7y", timedelta(days=7 * 365)),
    ],
)
def test_durations_have_a_unit(text: str, found: timedelta, read: Read) -> None:
    assert read(f'[retention.default]\nminimum = "{text}"\n').retention["default"].minimum == found
    assert read(f'worm_check = "{text}"').worm_check == found


def test_checks_can_be_switched_off(read: Read) -> None:
    assert read('worm_check = "off"').worm_check is None


def test_secrets_are_not_shown(read: Read) -> None:
    settings = read(STORE + 'access_key = "AK"\nsecret_key = "sesame"\n')
    assert "sesame" not in repr(settings)
    key = settings.store[0].secret_key
    assert key is not None and key.get_secret_value() == "sesame"


@pytest.mark.parametrize(
    "url", ["s3://AKID:sesame@bucket/x", "az://bucket?sig=sesame", "az://bucket/x#sesame"]
)
def test_a_secret_in_a_url_is_not_repeated(url: str, read: Read) -> None:
    with pytest.raises(SettingsError) as caught:
        read(f'[[store]]\nurl = "{url}"\n')
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[store]]\nurl = "ftp://x/y"\n', "s3://BUCKET"),
        ('[[store]]\nurl = "s3://user:word@bucket/x"\n', "no user"),
        (STORE + 'endpoint = "https://user:word@host"\n', "endpoint"),
        ('[[store]]\nurl = "s3:///x"\n', "names no bucket"),
        ('[[store]]\nurl = "s3://bucket/../x"\n', "a prefix has"),
        ('[[store]]\nurl = "file://var/lib"\n', "three slashes"),
        (STORE + 'access_key = "AK"\n', "go together"),
        (STORE + 'endpoint = "http://10.0.0.1:9000"\n', "allow_http"),
        (STORE + STORE, "a name of its own"),
        (STORE + 'name = "wal"\n', "write-ahead"),
        ('durability = "replicated"\n' + WAL + WAL.replace("[wal]", "[[store]]"), "url of its own"),
        (STORE + 'group = "1MiB"\n', "group"),
        (STORE + WAL, "go together"),
        ('durability = "replicated"\n' + STORE, "go together"),
        ('durability = "replicated"\n' + WAL, "needs a [[store]]"),
        ('cache_age = "1h"\n', "name one"),
        ('segment_age = "soon"\n', "write 90d"),
        ('segment_age = "0s"\n', "write 90d"),
        ('[retention.nowhere]\nmaximum = "1y"\n', "no such log"),
        ('[retention.default]\nminimum = "2y"\nmaximum = "1y"\n', "below minimum"),
    ],
)
def test_what_is_wrong_is_named(text: str, told: str, read: Read) -> None:
    with pytest.raises(SettingsError, match=told.replace("[[", r"\[\[")):
        read(text)
