"""What a certificate is: names, validity, fingerprints. Never a key.

    {"subject": "CN=edge.example.com", "issuer": "CN=Example CA,O=Example", "serial": "69ce98…",
     "not_before": "2026-11-21T14:16:02Z", "not_after": "2026-12-21T14:16:02Z",
     "names": ["edge.example.com"], "key": "EC secp256r1", "sha1": "…", "sha256": "…",
     "chain": [{"subject": …, "sha256": …, …}]}

Distinguished names are written as in RFC 4514, times as in RFC 3339, serials and fingerprints (of
the whole DER certificate) in lower-case hex. `chain` has the certificates after the first.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from muniment.capture.snapshot import Json, State
from muniment.errors import InputError

MAX_CERTIFICATES = 1_000
MAX_NAMES = 1_000

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]{1,262144}-----END CERTIFICATE-----")


def certificates(pem: bytes) -> list[State]:
    """Returns what each certificate of a PEM text is, in their order.

    Anything else in it, keys above all, is passed over. Raises InputError for a certificate that
    cannot be read.
    """
    return [_one(block) for block in _BLOCK.findall(pem)[:MAX_CERTIFICATES]]


def described(pem: bytes) -> State | None:
    """Returns the first certificate, with its `chain`; None where there is none.

    Raises InputError as `certificates` does.
    """
    found = certificates(pem)
    if not found:
        return None
    chain: list[Json] = [*found[1:]]
    return found[0] | {"chain": chain} if chain else found[0]


def _one(block: bytes) -> State:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a certificate should not have is its issuer's
            certificate = x509.load_pem_x509_certificate(block)
            return _facts(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise InputError(f"a certificate that cannot be read: {str(error)[:200]}") from error


def _facts(certificate: x509.Certificate) -> State:
    names: list[Json] = [*sorted(set(_names(certificate)))[:MAX_NAMES]]
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "not_before": _time(certificate.not_valid_before_utc),
        "not_after": _time(certificate.not_valid_after_utc),
        "names": names,
        "key": _key(certificate),
        "sha1": certificate.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 (what HAProxy shows)
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in names:
        value = name.value
        if isinstance(value, x509.Name):
            yield value.rfc4514_string()
        elif isinstance(value, bytes):
            yield value.hex()
        elif isinstance(value, x509.ObjectIdentifier):
            yield value.dotted_string
        else:
            yield str(value)


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return certificate.public_key_algorithm_oid.dotted_string
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA {key.key_size}"
    return type(key).__name__.removeprefix("_").removesuffix("PublicKey")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
