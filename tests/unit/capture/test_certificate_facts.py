"""What a certificate is, as openssl says; never a key; nothing but our errors for anything else."""

from __future__ import annotations

import datetime
import subprocess
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.systems.certificates import certificates, described
from muniment.errors import InputError

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
BEGINNING = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def made(key: Key, name: str = "edge.example.com", *others: x509.GeneralName) -> bytes:
    """A certificate and its key in one PEM text."""
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Example, Inc."),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
        ]
    )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(0xABCDEF)
        .not_valid_before(BEGINNING)
        .not_valid_after(BEGINNING + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), *others]), critical=False)
        .sign(key, algorithm)
    )
    pem = serialization.Encoding.PEM
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return certificate.public_bytes(pem) + key.private_bytes(pem, form, none)


EC = made(ec.generate_private_key(ec.SECP256R1()), "edge.example.com")


def test_a_certificate_is_what_openssl_says() -> None:
    state = described(EC)
    assert state is not None
    assert state["subject"] == "CN=edge.example.com,O=Example\\, Inc."
    assert state["serial"] == "abcdef"
    assert state["not_before"] == "2026-01-02T03:04:05Z"
    assert state["not_after"] == "2026-02-01T03:04:05Z"
    assert state["key"] == "EC secp256r1"
    assert "chain" not in state
    for digest in ("sha1", "sha256"):
        command = ["openssl", "x509", "-noout", "-fingerprint", f"-{digest}"]
        told = subprocess.run(command, input=EC, capture_output=True, check=True, timeout=60)
        fingerprint = told.stdout.decode().strip().rpartition("=")[2]
        assert state[digest] == fingerprint.replace(":", "").lower()


def test_all_kinds_of_names_and_keys() -> None:
    others = [x509.IPAddress(ip_address("10.0.0.1")), x509.DNSName("*.a.example")]
    pem = made(rsa.generate_private_key(65_537, 2_048), "b.example", *others)
    state = described(pem)
    assert state is not None
    assert state["names"] == ["*.a.example", "10.0.0.1", "b.example"]
    assert state["key"] == "RSA 2048"
    (state,) = certificates(made(ed25519.Ed25519PrivateKey.generate()))
    assert state["key"] == "Ed25519"


def test_a_chain_follows_the_first() -> None:
    other = made(ec.generate_private_key(ec.SECP384R1()), "ca.example")
    state = described(EC + other)
    assert state is not None
    (upper,) = state["chain"]  # type: ignore[misc]
    assert upper["key"] == "EC secp384r1"  # type: ignore[call-overload,index]


def test_no_key_is_told() -> None:
    assert "PRIVATE" not in repr(described(EC))
    assert described(EC[EC.index(b"-----BEGIN PRIVATE") :]) is None
    assert described(b"") is None


@pytest.mark.fuzz
@given(st.binary(max_size=300), st.integers(0, len(EC)), st.integers(0, 60))
def test_anything_else_is_refused_or_none(junk: bytes, at: int, cut: int) -> None:
    try:
        found = certificates(EC[:at] + junk + EC[at + cut :])
    except InputError:
        return
    assert len(found) <= 1
