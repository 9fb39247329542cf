"""PROXY headers: whom they name, where they end, and that no bytes raise anything else."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError
from muniment.receive.proxy_protocol import MAX_V1, MAX_V2, Client, extent, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (56_324).to_bytes(2, "big") + b"\x01\xbb"
V6 = ip_address("2001:db8::7").packed + ip_address("2001:db8::1").packed + b"\xdc\x04\x01\xbb"


def v2(addresses: bytes, command: int = 0x21, kind: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, kind]) + len(addresses).to_bytes(2, "big") + addresses


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", ("192.0.2.7", 56_324)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n", ("2001:db8::7", 0)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        (v2(V4), ("192.0.2.7", 56_324)),
        (v2(V4, kind=0x12), ("192.0.2.7", 56_324)),
        (v2(V6, kind=0x21), ("2001:db8::7", 56_324)),
        (v2(V4 + b"\x04\x00\x03abc" + b"\x20\x00\x00"), ("192.0.2.7", 56_324)),
        (v2(b"/run/a".ljust(216, b"\0"), kind=0x31), None),
        (v2(b"", kind=0x00), None),
        (v2(b"\x04\x00\x01a", kind=0x00), None),
        (v2(b"", command=0x20, kind=0x00), None),
        (v2(V4, command=0x20), None),
    ],
)
def test_whom_a_header_names(header: bytes, client: Client | None) -> None:
    for behind in (b"", b"\x16\x03\x01", b"<13>next\n", b"PROXY "):
        assert extent(header + behind) == (len(header), True)
    for short in range(len(header)):
        assert extent(header[:short]) == (short, False)
    assert parse(header) == client


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 192.0.2.700 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 056 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 1\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 1 1\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 1\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 1 1\r\n",
        b"PROXY tcp4 192.0.2.7 198.51.100.1 1 1\r\n",
        b"PROXY \xff\xfe\r\n",
        b"PROXY \r\n",
        v2(V4, command=0x11),
        v2(V4, command=0x22),
        v2(V4, kind=0x13),
        v2(V4, kind=0x41),
        v2(V4[:11]),
        v2(V4, kind=0x21),
    ],
)
def test_what_is_no_header(header: bytes) -> None:
    assert extent(header) == (len(header), True)
    with pytest.raises(InputError):
        parse(header)


@pytest.mark.parametrize(
    "data",
    [
        b"<13>a line\n",
        b"\x16\x03\x01\x02\0",
        b"proxy TCP4 ",
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\n\r\n",
        b"PROXY " + b"x" * MAX_V1,
        v2(b"x" * MAX_V2),
    ],
)
def test_what_begins_no_header_is_refused_as_soon_as_that_is_known(data: bytes) -> None:
    with pytest.raises(InputError):
        extent(data)


hostile = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=200).map(lambda data: b"PROXY " + data),
    st.binary(max_size=200).map(lambda data: b"PROXY TCP4 " + data + b"\r\n"),
    st.text("0123456789 .:abcdef", max_size=90).map(lambda t: f"PROXY TCP6 {t}\r\n".encode()),
    st.binary(max_size=300).map(lambda data: SIGNATURE + data),
    st.builds(v2, st.binary(max_size=300), st.integers(0, 255), st.integers(0, 255)),
)


@pytest.mark.fuzz
@given(hostile, st.binary(max_size=20))
def test_any_bytes_are_a_header_or_an_input_error(data: bytes, behind: bytes) -> None:
    """The end of a header depends on nothing behind it, and what it names is an ip:port."""
    try:
        size, whole = extent(data)
    except InputError:
        with pytest.raises(InputError):
            extent(data + behind)
        return
    assert size <= min(len(data), MAX_V2)
    if not whole:
        assert size == len(data)
        return
    assert extent(data[:size] + behind) == (size, True)
    try:
        client = parse(data[:size])
    except InputError:
        return
    if client is not None:
        ip_address(client[0])
        assert 0 <= client[1] < 1 << 16
