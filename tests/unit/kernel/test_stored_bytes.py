"""Checksums and compression: what is stored of a frame."""

from __future__ import annotations

import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from muniment.kernel import MAX_CHUNK_BYTES
from muniment.kernel.choice import Kernel


def crc32c_bit_by_bit(data: bytes) -> int:
    """RFC 3720 B.4: the reflected polynomial 0x82f63b78, all ones before and after."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_crc32c_of_the_examples_in_rfc_3720(kernel: Kernel) -> None:
    assert kernel.crc32c(bytes(32)) == 0x8A9136AA
    assert kernel.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert kernel.crc32c(bytes(range(32))) == 0x46DD794E


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_crc32c_goes_on_from_a_seed(kernel: Kernel, one: bytes, other: bytes) -> None:
    assert kernel.crc32c(other, kernel.crc32c(one)) == crc32c_bit_by_bit(one + other)


@given(st.binary(), st.integers(0, 300))
def test_what_is_compressed_comes_back(kernel: Kernel, data: bytes, times: int) -> None:
    data *= times
    assert kernel.decompress(kernel.compress(data), len(data)) == data


@given(st.binary(max_size=200), st.integers(0, 200))
def test_another_size_than_the_stated_one_is_refused(
    kernel: Kernel, data: bytes, size: int
) -> None:
    if size != len(data):
        with pytest.raises(ValueError, match="stated"):
            kernel.decompress(kernel.compress(data), size)


@pytest.mark.fuzz
@given(st.binary(), st.integers(0, 2 * MAX_CHUNK_BYTES))
def test_any_bytes_as_a_zstd_frame_raise_a_value_error_alone(
    kernel: Kernel, data: bytes, size: int
) -> None:
    for frame in (data, b"\x28\xb5\x2f\xfd" + data):
        try:
            assert len(kernel.decompress(frame, size)) == size
        except ValueError:
            continue


def test_a_frame_that_states_a_gigantic_size_costs_nothing(kernel: Kernel) -> None:
    """The library would ask for that much memory before it looked further."""
    frame = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 50) + b"\x01\x00\x00"
    assert zstandard.get_frame_parameters(frame).content_size == 1 << 50
    with pytest.raises(ValueError, match="states"):
        kernel.decompress(frame, 10)


def test_a_size_over_the_bound_is_refused_whatever_the_frame_says(kernel: Kernel) -> None:
    data = bytes(MAX_CHUNK_BYTES + 1)
    with pytest.raises(ValueError, match="bound"):
        kernel.decompress(kernel.compress(data), len(data))


def test_bytes_after_the_frame_are_refused(kernel: Kernel) -> None:
    frame = kernel.compress(b"abc" * 100)
    for more in (b"\x00", frame):
        with pytest.raises(ValueError):
            kernel.decompress(frame + more, 300)


def test_a_damaged_frame_is_refused_by_its_own_checksum(kernel: Kernel) -> None:
    frame = kernel.compress(bytes(range(256)) * 4)
    for offset in range(len(frame)):
        for bit in range(8):
            damaged = frame[:offset] + bytes([frame[offset] ^ 1 << bit]) + frame[offset + 1 :]
            try:
                assert kernel.decompress(damaged, 1024) == bytes(range(256)) * 4
            except ValueError:
                continue
