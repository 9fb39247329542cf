"""For whom an edge speaks: one address, one plain name, or a refusal."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.access.spoken_for import ADDRESS, MAX_NAME, NAME, Client, spoken_for
from muniment.errors import InputError


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b"203.0.113.7", "203.0.113.7"),
        (b" 203.0.113.7\t", "203.0.113.7"),
        (b"2001:DB8::0001", "2001:db8::1"),
        (b"::ffff:203.0.113.7", "203.0.113.7"),
        (b"127.0.0.1", "127.0.0.1"),
    ],
)
def test_the_one_address_is_the_client(value: bytes, address: str) -> None:
    assert spoken_for([(b"host", b"a"), (ADDRESS, value)]) == Client(address)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b" ", b"unknown", b"-", b"203.0.113", b"203.0.113.256", b"0x7f.0.0.1"),
        *(b"203.0.113.7:80", b"[2001:db8::1]", b"fe80::1%eth0", b"fe80::1%", b"010.0.0.1"),
        *(b"203.0.113.7, 10.0.0.1", b"203.0.113.7,", b",203.0.113.7", b"203.0.113.7 10.0.0.1"),
        *(b"\xff", b"203.0.113.7\xa0\xa01", b"2130706433", b"1" * 100_000),
    ],
)
def test_what_is_not_one_address_is_refused(value: bytes) -> None:
    with pytest.raises(InputError, match="X-Forwarded-For"):
        spoken_for([(ADDRESS, value)])


def test_two_lines_are_two_addresses() -> None:
    with pytest.raises(InputError, match="more than one address"):
        spoken_for([(ADDRESS, b"203.0.113.7"), (b"host", b"a"), (ADDRESS, b"203.0.113.7")])


@pytest.mark.parametrize(
    "name",
    ["web-1", "web-1.example.org", "Acme Log Shipper 01", "spiffe://a/b", "ops@example.org", "a"],
)
def test_a_plain_name_is_the_clients(name: str) -> None:
    assert spoken_for([(NAME, name.encode())]) == Client("", name)


def test_where_the_client_showed_no_certificate_there_is_no_name() -> None:
    assert spoken_for([(NAME, b"")]) == spoken_for([(NAME, b"  ")]) == Client() == spoken_for([])


@pytest.mark.parametrize(
    "value",
    [
        *(b"a,b", b'a"b', b"a\\b", b"a\tb", b"a\x1b[2J", b"n\xc3\xa4he", b"n\xe4he", b"<a>"),
        *(b"-a", b".a", b"/a", b"a;b", b"CN=a", b"a\0", b"a%41", b"x" * (MAX_NAME + 1)),
    ],
)
def test_odd_names_are_refused(value: bytes) -> None:
    with pytest.raises(InputError, match="X-SSL-Client-CN"):
        spoken_for([(NAME, value)])


def test_the_longest_name_is_taken_and_two_are_not() -> None:
    assert spoken_for([(NAME, b"x" * MAX_NAME)]).name == "x" * MAX_NAME
    with pytest.raises(InputError, match="more than one client certificate"):
        spoken_for([(NAME, b"web-1"), (NAME, b"web-1")])


@pytest.mark.fuzz
@given(st.lists(st.tuples(st.sampled_from([ADDRESS, NAME, b"host"]), st.binary(max_size=60))))
def test_any_headers_are_read_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with contextlib.suppress(InputError):
        found = spoken_for(headers)
        assert not found.address or str(ip_address(found.address)) == found.address
        assert len(found.name) <= MAX_NAME and found.name.isascii() and found.name.isprintable()
