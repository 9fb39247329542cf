"""Whose name a request is signed with, and over what TLS it goes."""

from __future__ import annotations

import datetime as dt
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from bad_server import bad_server, connection, refused
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from muniment.errors import StoreFailing
from muniment.store.s3 import S3Store

OWN = {"access_key": None, "secret_key": None}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without credentials; returns where the SDK looks for its file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


def write(path: Path, key: str) -> None:
    path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")


def test_no_credentials_are_said() -> None:
    with bad_server(lambda *_: (200, {}, b"")) as server:
        store = S3Store(connection(server.port, **OWN), "primary")
        with pytest.raises(StoreFailing, match="no credentials") as caught:
            store.put("a", b"")
        assert (caught.value.reason, caught.value.unknown) == ("credentials", False)
        with pytest.raises(StoreFailing) as caught:
            store.write_once.bucket()
        assert caught.value.reason == "credentials"
        assert not server.seen


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    with bad_server(lambda *_: (200, {}, b"")) as server:
        S3Store(connection(server.port, **OWN), "primary").put("a", b"")
        assert "Credential=FROMENV/" in server.seen[0][2]["authorization"]
        assert server.seen[0][2]["x-amz-security-token"] == "token"


def test_the_settings_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with bad_server(lambda *_: (200, {}, b"<a/>")) as server:
        store = S3Store(connection(server.port), "primary")
        store.put("a", b"")
        store.write_once.versioned()
        assert all("Credential=AKIDSHOWN/" in seen[2]["authorization"] for seen in server.seen)


def test_new_credentials_are_found_after_the_old_ones_expired(alone: Path) -> None:
    """A file of credentials that something else renews: the SDK itself reads it once."""
    write(alone, "OLD")

    def answer(method: str, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        old = "Credential=OLD/" in server.seen[-1][2]["authorization"]
        return refused(400, "ExpiredToken") if old else (200, {}, b"<a/>")

    with bad_server(answer) as server:
        store = S3Store(connection(server.port, **OWN), "primary")
        with pytest.raises(StoreFailing) as caught:
            store.put("a", b"")
        assert (caught.value.reason, caught.value.unknown) == ("credentials", False)
        write(alone, "NEW")
        store.put("a", b"")
        store.write_once.versioned()


def test_the_bytes_and_the_lock_are_signed() -> None:
    with bad_server(lambda *_: (200, {}, b"")) as server:
        S3Store(connection(server.port), "primary").put_if_absent("a b+c", b"")
        method, target, headers = server.seen[0]
    assert (method, target) == ("PUT", "/bucket/p/a%20b%2Bc")
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-content-sha256"].startswith("e3b0c442")
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"if-none-match", "x-amz-checksum-sha256", "x-amz-content-sha256"} <= set(signed)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "store.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_whose_certificate_is_named_is_trusted(
    certificate: Path, version: ssl.TLSVersion
) -> None:
    with bad_server(lambda *_: (200, {}, b"<a/>"), tls=(certificate, version)) as server:
        store = S3Store(connection(server.port, ca=certificate, tls=True), "primary")
        store.put("a", b"")
        store.write_once.versioned()
        assert len(server.seen) == 2


def test_any_other_server_is_not(certificate: Path) -> None:
    with bad_server(lambda *_: (200, {}, b""), tls=(certificate, ssl.TLSVersion.TLSv1_3)) as server:
        store = S3Store(connection(server.port, tls=True), "primary")
        for call in (lambda: store.put("a", b""), lambda: store.write_once.bucket()):
            with pytest.raises(StoreFailing, match="certificate is not trusted") as caught:
                call()
            assert (caught.value.reason, caught.value.unknown) == ("unreachable", False)
        assert not server.seen


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_an_old_tls_is_refused(certificate: Path) -> None:
    with bad_server(lambda *_: (200, {}, b""), tls=(certificate, ssl.TLSVersion.TLSv1_1)) as server:
        store = S3Store(connection(server.port, ca=certificate, tls=True), "primary")
        with pytest.raises(StoreFailing, match="TLS failed"):
            store.put("a", b"")
        assert not server.seen
