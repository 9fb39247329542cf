"""TLS contexts: clear errors, renewal without a restart, and whom a certificate names."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.authority import SERVER, Authority, Issued

from muniment.errors import SettingsError
from muniment.receive.tls import MAX_NAME, certificate_name, certificate_names, tls_context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def client_context(authority: Authority, client: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, int]:
    """A handshake in memory: the server's side of it, and the serial number that it showed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=SERVER)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (near, far):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    shown = near.getpeercert(binary_form=True)
    assert shown is not None
    return far, x509.load_der_x509_certificate(shown).serial_number


@pytest.mark.parametrize(
    ("common_name", "names", "expected"),
    [
        ("web-1", [], "web-1"),
        ("web-1", [x509.DNSName("web-1.example.org"), x509.DNSName("b.org")], "web-1.example.org"),
        (
            "web-1",
            [x509.RFC822Name("ops@example.org"), x509.UniformResourceIdentifier("spiffe://a/b")],
            "spiffe://a/b",
        ),
        ("web-1", [x509.RFC822Name("ops@example.org")], "ops@example.org"),
        ("n\u00e4he\n\0\x1b[2J", [], "n?he???[2J"),
        ("x" * 64, [], "x" * 64),
        ("long", [x509.UniformResourceIdentifier("https://" + "x" * 300)], "https://" + "x" * 120),
    ],
)
def test_whom_a_client_certificate_names(
    authority: Authority, common_name: str, names: list[x509.GeneralName], expected: str
) -> None:
    server = authority.server()
    context = tls_context(server.certificate, server.key, authority.certificate, ())
    far, _ = handshake(context, client_context(authority, authority.issue(common_name, names)))
    assert certificate_name(far) == expected
    assert len(expected) <= MAX_NAME


def test_no_certificate_names_nobody(authority: Authority) -> None:
    server = authority.server()
    context = tls_context(server.certificate, server.key)
    far, _ = handshake(context, client_context(authority, authority.issue("web-1")))
    assert certificate_name(far) == ""
    assert certificate_name(None) == ""


def test_where_an_authority_is_given_its_certificate_is_required(
    authority: Authority, tmp_path: Path
) -> None:
    server = authority.server()
    context = tls_context(server.certificate, server.key, authority.certificate)
    strangers = Authority(tmp_path, "strangers").issue("web-1")
    for client in (None, strangers):
        with pytest.raises(ssl.SSLError):
            handshake(context, client_context(authority, client))


def test_no_session_tickets_lie_unread_with_a_sender_that_only_writes(
    authority: Authority,
) -> None:
    """Else its close is a reset, which can take what it sent last with it."""
    server = authority.server()
    context = tls_context(server.certificate, server.key)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def serve() -> bytes:
            accepted, _ = listener.accept()
            with context.wrap_socket(accepted, server_side=True) as wrapped:
                return b"".join(iter(lambda: wrapped.recv(65_536), b""))

        received = pool.submit(serve)
        plain = socket.create_connection(listener.getsockname())
        with client_context(authority).wrap_socket(plain, server_hostname=SERVER) as sender:
            sender.sendall(b"x" * 1_000_000)
        assert len(received.result(30)) == 1_000_000


def test_a_renewed_certificate_is_used_from_the_next_handshake_on(authority: Authority) -> None:
    server, renewed = authority.server(), authority.server()
    context = tls_context(server.certificate, server.key)
    client = client_context(authority)
    _, before = handshake(context, client)

    server.certificate.write_bytes(renewed.certificate.read_bytes())
    assert handshake(context, client)[1] == before  # the key is not there yet
    server.key.write_bytes(renewed.key.read_bytes())
    _, after = handshake(context, client)

    assert after != before
    server.key.unlink()
    assert handshake(context, client)[1] == after


def test_renewed_authorities_of_clients_count_from_the_next_handshake_on(
    authority: Authority, tmp_path: Path
) -> None:
    """A new one can be added, then the old one taken out, without a restart."""
    server, new = authority.server(), Authority(tmp_path, "new")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.certificate.read_bytes())
    context = tls_context(server.certificate, server.key, trusted)
    old_client = client_context(authority, authority.issue("web-1"))
    new_client = client_context(authority, new.issue("web-2"))
    handshake(context, old_client)
    with pytest.raises(ssl.SSLError):
        handshake(context, new_client)

    trusted.write_bytes(authority.certificate.read_bytes() + new.certificate.read_bytes())
    handshake(context, old_client)
    handshake(context, new_client)
    trusted.write_bytes(new.certificate.read_bytes())
    handshake(context, new_client)
    with pytest.raises(ssl.SSLError):
        handshake(context, old_client)

    trusted.write_bytes(b"")  # half of a change
    handshake(context, new_client)
    with pytest.raises(ssl.SSLError):
        handshake(context, old_client)


def test_every_name_by_which_a_certificate_can_be_meant(authority: Authority) -> None:
    server = authority.server()
    context = tls_context(server.certificate, server.key, authority.certificate, ())
    other = x509.UniformResourceIdentifier("spiffe://a/b")
    names = [x509.DNSName("a.org"), x509.DNSName("b.org"), other]
    far, _ = handshake(context, client_context(authority, authority.issue("web-1", names)))
    assert certificate_names(far) == {"web-1", "a.org", "b.org"}
    assert certificate_names(None) == frozenset()


def test_errors_say_what_is_wrong(authority: Authority, tmp_path: Path) -> None:
    server, other = authority.server(), authority.server()
    nowhere, rubbish = tmp_path / "nowhere", tmp_path / "rubbish"
    rubbish.write_bytes(b"-----BEGIN CERTIFICATE-----\nno\n")
    with pytest.raises(SettingsError, match=r"there is no file .*nowhere"):
        tls_context(server.certificate, nowhere)
    with pytest.raises(SettingsError, match="is not the key of"):
        tls_context(server.certificate, other.key)
    with pytest.raises(SettingsError, match="cannot be used for TLS"):
        tls_context(rubbish, server.key)
    with pytest.raises(SettingsError, match=r"there is no file .*nowhere"):
        tls_context(server.certificate, server.key, nowhere)
    for no_authority in (rubbish, server.key, other.certificate):
        with pytest.raises(SettingsError, match="holds no certificate authority"):
            tls_context(server.certificate, server.key, no_authority)


def test_an_encrypted_key_asks_nobody_for_a_password(authority: Authority, tmp_path: Path) -> None:
    server = authority.server()
    key = serialization.load_pem_private_key(server.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(SettingsError, match="is encrypted"):
        tls_context(server.certificate, encrypted)
