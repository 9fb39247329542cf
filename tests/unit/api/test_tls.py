"""HTTP over TLS: 1.2 and up, and no connection that stops in the middle of the handshake."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from api_parts import Serve, token
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from muniment.errors import SettingsError
from muniment.receive.tls import tls_context


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, secret


def test_a_token_goes_over_tls(serve: Serve, certificate: tuple[Path, Path]) -> None:
    served = serve(required=True, tls=tls_context(*certificate))
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    url = f"https://localhost:{served.port}"
    with httpx.Client(timeout=60, base_url=url, verify=trust, trust_env=False) as client:
        assert client.get("/api/v1/logs").status_code == 401
        assert client.get("/api/v1/logs", headers=token(served.context)).is_success


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(serve: Serve, certificate: tuple[Path, Path]) -> None:
    served = serve(tls=tls_context(*certificate))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with served.connect() as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(connection)


def test_plain_http_on_a_tls_port_gets_nothing(
    serve: Serve, certificate: tuple[Path, Path]
) -> None:
    served = serve(tls=tls_context(*certificate))
    with served.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"ok" not in connection.recv(65_536)


def test_what_is_wrong_with_the_files_is_named(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    chain, key = certificate
    with pytest.raises(SettingsError, match="nowhere"):
        tls_context(chain, tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="cannot be used for TLS"):
        tls_context(key, chain)
