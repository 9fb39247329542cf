"""Settings: where they come from, and which of them would let strangers in."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.errors import SettingsError
from muniment.settings import Address, load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a muniment.toml."""
    monkeypatch.chdir(tmp_path)
    for name in ("MUNIMENT_LISTEN", "MUNIMENT_DATA", "MUNIMENT_NODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_default_needs_none() -> None:
    settings = load(environment={})
    assert str(settings.listen) == "127.0.0.1:8470"
    assert str(settings.syslog) == "127.0.0.1:5514"
    assert settings.logs == ("default",)
    assert settings.data == Path("muniment-data")
    assert settings.syslog_as == "syslog"
    assert (settings.max_body, settings.max_decompressed) == (16 << 20, 64 << 20)
    assert not settings.tokens_required


def test_the_command_line_goes_before_variables_before_the_file_before_defaults(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "muniment.toml").write_text(
        'listen = "127.0.0.1:1"\nnode = "from-file"\norigin = "file.example"\nmax_body = "2MiB"\n'
    )
    monkeypatch.setenv("MUNIMENT_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("MUNIMENT_NODE", "from-variable")

    settings = load({"listen": "127.0.0.1:3", "data": None})

    assert settings.listen.port == 3
    assert settings.node == "from-variable"
    assert settings.origin == "file.example"
    assert settings.max_body == 2 << 20
    assert settings.data == Path("muniment-data")


def test_lists_are_written_with_commas_in_variables_and_as_lists_in_toml(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "muniment.toml").write_text('logs = ["default", "edge"]\n')
    assert load(environment={}).logs == ("default", "edge")
    monkeypatch.setenv("MUNIMENT_LOGS", "default, admin")
    assert load().logs == ("default", "admin")


def test_a_named_file_must_be_there(elsewhere: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(config=elsewhere / "missing.toml")
    other = elsewhere / "other.toml"
    other.write_text('node = "other"\n')
    assert load(config=other, environment={}).node == "other"
    assert load(environment={"MUNIMENT_CONFIG": str(other)}).node == "other"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('lisen = "127.0.0.1:1"', "lisen"),
        ("max_body = 1", "max_body"),
        ('listen = "nowhere"', "listen"),
        ('listen = "::1:8470"', "brackets"),
        ("logs = []", "logs"),
        ('logs = ["a", "a"]', "logs"),
        ('logs = ["../x"]', "logs"),
        ('syslog_log = "other"', "syslog_log"),
        ('tls_key = "k"', "tls_certificate"),
        ('origin = "a b"', "origin"),
        ('node = "a b"', "node"),
        ("syslog = 7", "syslog"),
        ("[server]\nx = 1", "server"),
        ("not toml", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(elsewhere: Path, text: str, named: str) -> None:
    (elsewhere / "muniment.toml").write_text(text)
    with pytest.raises(SettingsError, match=named):
        load(environment={})


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="MUNIMENT_LISEN"):
        load(environment={"MUNIMENT_LISEN": "x"})


def test_variables_of_the_clients_and_of_kubernetes_are_not_settings() -> None:
    load(
        environment={
            "MUNIMENT_TOKEN": "x",
            "MUNIMENT_URL": "x",
            "MUNIMENT_SERVICE_HOST": "10.0.0.1",
            "MUNIMENT_PORT": "tcp://10.0.0.1:8470",
            "MUNIMENT_PORT_8470_TCP_ADDR": "10.0.0.1",
            "MUNIMENT_SYSLOG_SERVICE_HOST": "10.0.0.1",
        }
    )


def test_syslog_can_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load({"syslog": "off"}, environment={}).syslog is None
    monkeypatch.setenv("MUNIMENT_SYSLOG", "off")
    assert load().syslog is None
    monkeypatch.setenv("MUNIMENT_SYSLOG", "127.0.0.1:1514")
    assert str(load().syslog) == "127.0.0.1:1514"


@pytest.mark.parametrize("listen", ["0.0.0.0:8470", "[::]:8470", "192.0.2.1:8470"])
def test_other_addresses_need_tls_and_then_tokens(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"tls_certificate.*--serve-without-tls-and-tokens"):
        load({"listen": listen}, environment={})

    over_tls = {"listen": listen, "tls_certificate": "c", "tls_key": "k"}
    assert load(over_tls, environment={}).tokens_required

    told_so = {"listen": listen, "serve_without_tls_and_tokens": True}
    assert not load(told_so, environment={}).tokens_required


def test_plain_syslog_stays_on_loopback_unless_told_so() -> None:
    with pytest.raises(SettingsError, match="syslog"):
        load({"syslog": "0.0.0.0:5514"}, environment={})
    load({"syslog": "0.0.0.0:5514", "serve_without_tls_and_tokens": True}, environment={})


def test_tokens_can_be_required_on_loopback_too() -> None:
    assert load({"require_tokens": True}, environment={}).tokens_required


def test_addresses_are_read_and_written() -> None:
    for text in ("127.0.0.1:8470", "[::1]:0", "0.0.0.0:65535"):
        assert str(Address.parse(text)) == text
    assert str(Address.parse("localhost:1")) == "127.0.0.1:1"
    for text in ("", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:1"):
        with pytest.raises(ValueError):
            Address.parse(text)


TLS = {"tls_certificate": "a.crt", "tls_key": "a.key"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"edges": ["edge"]}, "set tls_client_ca"),
        ({"writers": ["agent"]}, "set tls_client_ca"),
        ({"tls_client_ca": "ca.pem"}, "needs tls_certificate"),
        (
            {**TLS, "tls_client_ca": "ca.pem", "edges": ["a", "b"], "writers": ["b"]},
            "an edge has no right of its own",
        ),
        ({**TLS, "tls_client_ca": "ca.pem", "edges": ["a b"]}, "edges"),
    ],
)
def test_certificates_that_cannot_mean_anything_are_refused(
    given: dict[str, object], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        load(given, environment={})


def test_with_client_certificates_loopback_is_no_right() -> None:
    assert not load(TLS, environment={}).tokens_required
    assert load({**TLS, "tls_client_ca": "ca.pem"}, environment={}).tokens_required


def test_a_fleets_settings_as_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        *(("TLS_CERTIFICATE", "a.crt"), ("TLS_KEY", "a.key"), ("TLS_CLIENT_CA", "ca.pem")),
        *(("EDGES", "edge-1, edge-2"), ("WRITERS", "agent"), ("TOKENS", "/run/tokens.json")),
        ("PROBE_LISTEN", "0.0.0.0:8471"),
    ):
        monkeypatch.setenv(f"MUNIMENT_{name}", value)
    settings = load()
    assert settings.edges == ("edge-1", "edge-2") and settings.writers == ("agent",)
    assert settings.tokens == Path("/run/tokens.json")
    assert str(settings.probe_listen) == "0.0.0.0:8471"
    monkeypatch.setenv("MUNIMENT_PROBE_LISTEN", "off")
    assert load().probe_listen is None
