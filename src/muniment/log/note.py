"""Signed notes and their keys (C2SP signed-note v1.0.0)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from muniment.errors import InputError, SignatureInvalid

ED25519 = 0x01
COSIGNATURE_ED25519 = 0x04

MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100

_MARK = "\u2014 "


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Returns the four bytes that name a key: SHA-256(name || LF || kind || key)[:4]."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def check_name(name: str) -> str:
    """Returns `name`; raises InputError where a key's name holds a space, a `+` or nothing."""
    if not name or "+" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise InputError(f"{name!r} cannot name a key: no spaces, no '+', not empty")
    return name


def decode_base64(text: str) -> bytes:
    """Returns the bytes of canonical, padded base64. Raises InputError for anything else."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"not base64: {error}") from error
    if b64encode(data).decode() != text:
        raise InputError("not canonical base64")
    return data


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public Ed25519 key with its name, as in `NAME+hex8(key id)+base64(type || key)`."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Raises InputError where the text is no verifier key, or its key id is not its key's."""
        name, id_text, key_text = _three(text.strip(), "a verifier key")
        blob = decode_base64(key_text)
        if len(blob) != 33 or blob[0] != ED25519:
            raise InputError("only Ed25519 log keys (type 1, 32 bytes) can be used")
        verifier = cls(check_name(name), blob[1:])
        if verifier.id.hex() != id_text:
            raise InputError(f"the key id is {verifier.id.hex()}, the text says {id_text}")
        return verifier

    @property
    def id(self) -> bytes:
        """The key id, four bytes."""
        return key_id(self.name, ED25519, self.public)

    def __str__(self) -> str:
        blob = b64encode(bytes([ED25519]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{blob}"

    def holds(self, text: str, signature: bytes) -> bool:
        """Whether `signature` is this key's over `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private Ed25519 key with its name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.verifier = Verifier(check_name(name), public)

    @classmethod
    def generate(cls, name: str, randomness: Callable[[int], bytes]) -> Signer:
        """Makes a key from 32 bytes of `randomness`."""
        return cls(name, randomness(32))

    @classmethod
    def parse(cls, text: str) -> Signer:
        """Reads `PRIVATE+KEY+NAME+hex8(key id)+base64(type || seed)`. Raises InputError."""
        prefix = "PRIVATE+KEY+"
        if not text.startswith(prefix):
            raise InputError("a private key begins with PRIVATE+KEY+")
        name, id_text, key_text = _three(text[len(prefix) :].rstrip("\n"), "a private key")
        blob = decode_base64(key_text)
        if len(blob) != 33 or blob[0] != ED25519:
            raise InputError("only Ed25519 keys (type 1, 32 bytes) can be used")
        signer = cls(name, blob[1:])
        if signer.verifier.id.hex() != id_text:
            raise InputError("the private key does not match its key id")
        return signer

    def export(self) -> str:
        """Returns the private key's text. Whoever has it can sign for the log."""
        blob = b64encode(bytes([ED25519]) + self._seed).decode()
        return f"PRIVATE+KEY+{self.verifier.name}+{self.verifier.id.hex()}+{blob}"

    def signature(self, text: str) -> bytes:
        """Returns the bare Ed25519 signature over `text`, 64 bytes."""
        return self._key.sign(text.encode())

    def sign(self, text: str) -> str:
        """Returns the signed note over `text`, which must end in a newline."""
        return self.note(text, self.signature(text))

    def note(self, text: str, signature: bytes) -> str:
        """Returns the signed note over `text`, given this key's signature over it."""
        return signed_note(self.verifier, text, signature)


def signed_note(verifier: Verifier, text: str, signature: bytes) -> str:
    """Returns the note over `text`, given a key's signature over it, which is not checked."""
    blob = b64encode(verifier.id + signature).decode()
    return f"{text}\n{_MARK}{verifier.name} {blob}\n"


def _three(text: str, what: str) -> tuple[str, str, str]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise InputError(f"{what} has the form NAME+ID+KEY")
    return parts[0], parts[1], parts[2]


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and id, and the signature's own bytes."""

    name: str
    id: bytes
    blob: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note. `text` ends in a newline; no signature has been checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, note: str) -> Note:
        """Raises InputError where the note is malformed."""
        if len(note) > MAX_NOTE_BYTES:
            raise InputError(f"a note of {len(note)} characters is over the bound")
        if any(c != "\n" and (c < " " or c == "\x7f") for c in note):
            raise InputError("a note holds no control characters but newlines")
        split = note.rfind("\n\n")
        if split < 0 or not note.endswith("\n"):
            raise InputError("a note is text, an empty line and signature lines")
        lines = note[split + 2 : -1].split("\n")
        if not 0 < len(lines) <= MAX_SIGNATURES:
            raise InputError(f"a note has 1 to {MAX_SIGNATURES} signatures, not {len(lines)}")
        return cls(note[: split + 1], tuple(_signature(line) for line in lines))

    def check(self, trusted: Sequence[Verifier]) -> list[Verifier]:
        """Returns the trusted keys that signed, at least one.

        Signatures by unknown keys are passed over. Raises SignatureInvalid where a known key's
        signature is wrong, or no known key signed.
        """
        signed = []
        for signature in self.signatures:
            for verifier in trusted:
                if (signature.name, signature.id) != (verifier.name, verifier.id):
                    continue
                if not verifier.holds(self.text, signature.blob):
                    raise SignatureInvalid(f"the signature by {verifier.name} is wrong")
                signed.append(verifier)
        if not signed:
            names = ", ".join(sorted({s.name for s in self.signatures}))
            raise SignatureInvalid(f"no trusted key signed; signatures are by {names}")
        return signed


def _signature(line: str) -> Signature:
    if not line.startswith(_MARK):
        raise InputError("a signature line begins with an em dash and a space")
    name, space, text = line[len(_MARK) :].partition(" ")
    if not space:
        raise InputError("a signature line holds a name and a signature")
    blob = decode_base64(text)
    if len(blob) < 5:
        raise InputError("a signature is longer than its key id of four bytes")
    return Signature(check_name(name), blob[:4], blob[4:])
