"""The fleet's own certificates: who they are for, how long, and that TLS takes them."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from muniment.errors import SettingsError
from muniment.log.disk import PosixDisk
from muniment.receive.tls import certificate_name
from muniment.up.authority import Authority
from muniment.up.places import Identity, Places


class At:
    """A clock that stands still."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0


NOW = datetime.now(UTC)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "tls").mkdir()
    return Places(tmp_path)


def authority(places: Places, now: datetime = NOW) -> Authority:
    return Authority.open(places.authority, disk=PosixDisk(), clock=At(now))


def handshake(server: Identity, client: Identity, ca: Path, name: str) -> str:
    """TLS in memory, both ends with certificates; returns the client's name as the server sees."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(server.certificate, server.key)
    serving.load_verify_locations(ca)
    serving.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=str(ca))
    calling.verify_flags |= ssl.VERIFY_X509_STRICT
    calling.load_cert_chain(client.certificate, client.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = serving.wrap_bio(to_server, to_client, server_side=True)
    other = calling.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(6):
        for end in (other, one):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return certificate_name(one)


@pytest.mark.parametrize("name", ["ingest-1", "localhost", "127.0.0.1"])
def test_a_node_is_known_by_its_name_and_addresses(places: Places, name: str) -> None:
    made = authority(places)
    node, client = places.identity("ingest-1"), places.identity("client")
    assert made.issue("ingest-1", node, ("localhost", "127.0.0.1"))
    assert made.issue("client", client)
    assert handshake(node, client, places.authority.certificate, name) == "client"


def test_another_name_is_refused(places: Places) -> None:
    made = authority(places)
    made.issue("ingest-1", places.identity("ingest-1"))
    made.issue("client", places.identity("client"))
    pair = places.identity("ingest-1"), places.identity("client")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(*pair, places.authority.certificate, "ingest-2")


def test_another_fleets_certificate_is_refused(places: Places, tmp_path: Path) -> None:
    authority(places).issue("ingest-1", places.identity("ingest-1"))
    other = Places(tmp_path / "other")
    (other.folder / "tls").mkdir(parents=True)
    authority(other).issue("client", other.identity("client"))
    pair = places.identity("ingest-1"), other.identity("client")
    with pytest.raises(ssl.SSLError):
        handshake(*pair, places.authority.certificate, "ingest-1")


def test_the_names_stand_first_among_the_alternatives(places: Places) -> None:
    place = places.identity("edge")
    authority(places).issue("edge", place, ("localhost", "::1"))
    found = x509.load_pem_x509_certificate(place.certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["edge", "localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["::1"]


def test_keys_are_nobody_elses(places: Places) -> None:
    authority(places).issue("edge", places.identity("edge"))
    for key in (places.authority.key, places.identity("edge").key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_what_is_there_stays_until_a_month_before_its_end(places: Places) -> None:
    place = places.identity("edge")
    assert authority(places).issue("edge", place)
    before = place.certificate.read_bytes()
    assert not authority(places, NOW + timedelta(days=300)).issue("edge", place)
    assert place.certificate.read_bytes() == before
    assert authority(places, NOW + timedelta(days=340)).issue("edge", place)
    assert place.certificate.read_bytes() != before


def test_an_authority_half_made_is_made_again(places: Places) -> None:
    places.authority.key.write_text("cut off")
    authority(places).issue("edge", places.identity("edge"))
    assert places.authority.certificate.exists()


def test_an_authority_that_is_broken_is_told(places: Places) -> None:
    authority(places)
    places.authority.key.write_text("not a key")
    with pytest.raises(SettingsError, match=r"ca\.key"):
        authority(places)
