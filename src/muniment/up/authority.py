"""A certificate authority of the fleet's own, and the certificates that it signs.

X.509 as in RFC 5280, with ECDSA on P-256. Keys are files of mode 0600.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from muniment.clock import Clock
from muniment.errors import SettingsError
from muniment.log.disk import Disk, write_file
from muniment.up.places import Identity

AUTHORITY_DAYS, DAYS = 3_650, 365
RENEW_BEFORE = timedelta(days=30)
SKEW = timedelta(hours=1)
"""A certificate is valid from this long before it was made: clocks differ."""

Key = ec.EllipticCurvePrivateKey


class Authority:
    """Signs certificates for the nodes, the edge and a client. `open` makes it once."""

    def __init__(
        self, key: Key, certificate: x509.Certificate, *, disk: Disk, clock: Clock
    ) -> None:
        self._key, self._certificate = key, certificate
        self._disk, self._clock = disk, clock

    @classmethod
    def open(cls, place: Identity, *, disk: Disk, clock: Clock) -> Authority:
        """Reads the authority, or makes it where there is none. Raises SettingsError, OSError."""
        if not place.certificate.exists():
            _make_authority(place, disk, clock)
        key, certificate = _read(place)
        return cls(key, certificate, disk=disk, clock=clock)

    def issue(self, name: str, place: Identity, addresses: Sequence[str] = ()) -> bool:
        """Makes a certificate of this name where there is none that is valid for a month more.

        `addresses` are further names and IP addresses that it is valid for. Says whether it made
        one. Raises SettingsError where the files that are there cannot be read, and OSError.
        """
        if place.certificate.exists() and not self._ends_soon(place):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _begin(name, self._certificate.subject, key, self._clock, DAYS)
        alternatives = x509.SubjectAlternativeName(_alternatives([name, *addresses]))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        authority = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(alternatives, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority.value),
                critical=False,
            )
        )
        _write(place, key, builder.sign(self._key, hashes.SHA256()), self._disk)
        return True

    def _ends_soon(self, place: Identity) -> bool:
        return _read(place)[1].not_valid_after_utc < self._clock.now() + RENEW_BEFORE


def _make_authority(place: Identity, disk: Disk, clock: Clock) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), "Muniment fleet"
    builder = (
        _begin(name, _subject(name), key, clock, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    _write(place, key, builder.sign(key, hashes.SHA256()), disk)


def _begin(
    name: str, issuer: x509.Name, key: Key, clock: Clock, days: int
) -> x509.CertificateBuilder:
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _read(place: Identity) -> tuple[Key, x509.Certificate]:
    """The certificate stands first in the files of the authority, and alone."""
    try:
        key = serialization.load_pem_private_key(place.key.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(place.certificate.read_bytes())
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise SettingsError(
            f"{place.key} and {place.certificate} cannot be used: {error}"
        ) from error
    if not isinstance(key, Key):
        raise SettingsError(f"{place.key} is no key on P-256")
    return key, certificate


def _write(place: Identity, key: Key, certificate: x509.Certificate, disk: Disk) -> None:
    """The key goes first; what stops in between is made anew, as the certificate is missing."""
    pem, unlocked = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, unlocked)
    place.certificate.unlink(missing_ok=True)
    write_file(disk, place.key, secret, 0o600)
    write_file(disk, place.certificate, certificate.public_bytes(pem), 0o644)
