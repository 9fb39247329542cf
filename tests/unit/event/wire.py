"""Protobuf by hand: fields as they stand on the wire."""

from __future__ import annotations


def wire(field: int, body: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return bytes([field << 3 | 2]) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    """A field of a whole number."""
    return bytes([field << 3]) + varint(value)


def varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
