"""Listeners: what a `[[receive]]` table may say, and which would let strangers in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from muniment.errors import SettingsError
from muniment.settings import Protocol, Settings, load

Read = Callable[[str], Settings]
TLS = 'tls_certificate = "a.crt"\ntls_key = "a.key"\n'
CA = 'tls_client_ca = "ca.crt"\n'


def table(protocol: str, listen: str = "127.0.0.1:1", more: str = "") -> str:
    return f'[[receive]]\nprotocol = "{protocol}"\nlisten = "{listen}"\n{more}'


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads settings out of a TOML text."""
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> Settings:
        (tmp_path / "muniment.toml").write_text(text)
        return load(environment={})

    return read


def test_the_syslog_that_is_always_there_is_the_first_listener(read: Read) -> None:
    settings = read('syslog_as = "haproxy"\n' + table("forward", "127.0.0.1:24224", 'as = "nginx"'))
    syslog, forward = settings.listeners
    assert (syslog.protocol, syslog.source, syslog.log) == (Protocol.SYSLOG, "haproxy", "default")
    assert (forward.protocol, forward.source, forward.log) == (Protocol.FORWARD, "nginx", None)
    (only,) = read('syslog = "off"\n' + table("loki")).listeners
    assert only.protocol is Protocol.LOKI


def test_secrets_are_not_shown(read: Read) -> None:
    settings = read(table("forward", more='shared_key = "sesame"\nusers = { a = "swordfish" }'))
    assert "sesame" not in repr(settings) and "swordfish" not in repr(settings)
    key = settings.receive[0].shared_key
    assert key is not None and key.get_secret_value() == "sesame"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (table("gopher"), "protocol"),
        (table("loki", more='color = "red"'), "color"),
        (table("loki", more='log = "nowhere"'), "no log 'nowhere'"),
        (table("loki", more='as = "NGINX!"'), "source"),
        (table("loki", more='shared_key = "x"'), "shared_key is a key of forward"),
        (table("loki", more='topics = ["x"]'), "topics is a key of kafka"),
        (table("forward", more='users = { a = "b" }'), "shared_key"),
        (table("loki", more='tls_key = "a.key"'), "go together"),
        (table("loki", more=CA), "tls_client_ca needs"),
        (table("loki", more='proxy_from = ["10.0.0.0/33"]'), "networks such as"),
        (table("loki", more='proxy_from = ["10.0.0.1/8"]'), "networks such as"),
        ('[[receive]]\nprotocol = "loki"\n', "listen is missing"),
        ('[[receive]]\nprotocol = "kafka"\n', "brokers and topics"),
        (2 * '[[receive]]\nprotocol = "kafka"\nbrokers = "a:1"\ntopics = ["t"]\n', "group"),
        (table("kafka", more='brokers = "a:1"\ntopics = ["t"]'), "kafka has no listen"),
    ],
)
def test_what_makes_no_sense_is_named(read: Read, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read(text)


@pytest.mark.parametrize("protocol", ["syslog", "forward", "grpc", "loki", "http"])
def test_plain_text_on_an_address_for_everybody_is_refused(read: Read, protocol: str) -> None:
    with pytest.raises(SettingsError, match="plain text"):
        read(table(protocol, "0.0.0.0:1"))


@pytest.mark.parametrize("protocol", ["syslog", "forward"])
def test_tls_alone_does_not_say_who_sends(read: Read, protocol: str) -> None:
    with pytest.raises(SettingsError, match="from anybody"):
        read(table(protocol, "0.0.0.0:1", TLS))


def test_a_balancer_on_loopback_brings_strangers(read: Read) -> None:
    behind = table("syslog", more='proxy_from = ["127.0.0.0/8"]\n')
    with pytest.raises(SettingsError, match="through proxy_from"):
        read(behind)
    assert read(behind + "anonymous = true\n").receive


@pytest.mark.parametrize(
    "text",
    [
        table("syslog", "0.0.0.0:1", TLS + CA),
        table("forward", "0.0.0.0:1", TLS + 'shared_key = "x"'),
        table("loki", "0.0.0.0:1", TLS),
        table("grpc", "[::]:1", TLS),
        table("syslog", "0.0.0.0:1", "anonymous = true"),
        table("loki", "0.0.0.0:1", "anonymous = true"),
        "serve_without_tls_and_tokens = true\n" + table("forward", "0.0.0.0:1"),
        '[[receive]]\nprotocol = "kafka"\nbrokers = "broker:9092"\ntopics = ["edge"]',
    ],
)
def test_what_is_safe_or_asked_for_in_as_many_words_is_taken(read: Read, text: str) -> None:
    assert len(read(text).receive) == 1
