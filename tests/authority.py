"""A certificate authority of the tests: certificates of servers and clients, as PEM files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVER = "muniment.test"


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is at `certificate`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory, self._key = directory, ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name)
        self._number = 0
        made = _begin(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = directory / f"{name}.pem"
        self.certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def server(self) -> Issued:
        """A certificate for SERVER, which is at 127.0.0.1."""
        address = x509.IPAddress(IPv4Address("127.0.0.1"))
        return self.issue(SERVER, [x509.DNSName(SERVER), address])

    def issue(
        self,
        common_name: str,
        names: Sequence[x509.GeneralName] = (),
        expires: timedelta = timedelta(days=1),
    ) -> Issued:
        """A certificate for a subject and its alternative names."""
        self._number += 1
        key = ec.generate_private_key(ec.SECP256R1())
        made = _begin(_subject(common_name), self._name, key, expires)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        stem = f"{self.certificate.stem}-{self._number}"
        issued = Issued(self._directory / f"{stem}.crt", self._directory / f"{stem}.key")
        issued.certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return issued


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    expires: timedelta = timedelta(days=1),
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + expires)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
