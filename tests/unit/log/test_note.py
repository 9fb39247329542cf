"""Signed notes and keys: what is written is read back, and nothing else is taken."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError, SignatureInvalid
from muniment.log.note import Note, Signer, Verifier, check_name, decode_base64

printable = st.characters(exclude_categories=["Cc", "Cs"])
texts = st.text(st.one_of(st.just("\n"), printable)).map(lambda text: text + "\n")
names = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1, max_size=20
)
seeds = st.binary(min_size=32, max_size=32)

ONE = Signer("one.example", bytes(32))
TWO = Signer("two.example", bytes([1] * 32))
IMPOSTOR = Signer("one.example", bytes([2] * 32))


def signature_line(signer: Signer, text: str) -> str:
    return signer.sign(text)[len(text) + 1 :]


@given(names, seeds)
def test_keys_are_read_back(name: str, seed: bytes) -> None:
    signer = Signer(name, seed)
    assert Signer.parse(signer.export()).export() == signer.export()
    assert Signer.parse(signer.export() + "\n").verifier == signer.verifier
    assert Verifier.parse(str(signer.verifier)) == signer.verifier


@given(texts, names, seeds)
def test_a_signed_note_is_read_back_and_checks_out(text: str, name: str, seed: bytes) -> None:
    signer = Signer(name, seed)
    note = Note.parse(signer.sign(text))
    assert note.text == text
    assert note.check([signer.verifier]) == [signer.verifier]


@given(texts, texts)
def test_a_signature_is_over_this_text_alone(text: str, other: str) -> None:
    note = Note.parse(f"{other}\n{signature_line(ONE, text)}")
    if text == other:
        assert note.check([ONE.verifier])
        return
    with pytest.raises(SignatureInvalid):
        note.check([ONE.verifier])


def test_unknown_keys_are_passed_over() -> None:
    note = Note.parse(ONE.sign("text\n") + signature_line(TWO, "text\n"))
    assert note.check([ONE.verifier]) == [ONE.verifier]
    assert note.check([TWO.verifier, ONE.verifier]) == [ONE.verifier, TWO.verifier]
    with pytest.raises(SignatureInvalid, match="no trusted key"):
        note.check([IMPOSTOR.verifier])
    with pytest.raises(SignatureInvalid, match="no trusted key"):
        note.check([])


def test_a_wrong_signature_by_a_known_key_makes_the_note_bad() -> None:
    wrong = signature_line(TWO, "another text\n")
    note = Note.parse(ONE.sign("text\n") + wrong)
    with pytest.raises(SignatureInvalid, match="wrong"):
        note.check([ONE.verifier, TWO.verifier])


def test_sixteen_signatures_and_more_are_read() -> None:
    signers = [Signer(f"s{number}", bytes([number] * 32)) for number in range(100)]
    lines = "".join(signature_line(signer, "text\n") for signer in signers)
    note = Note.parse("text\n\n" + lines)
    assert len(note.check([signer.verifier for signer in signers])) == 100
    with pytest.raises(InputError):
        Note.parse("text\n\n" + lines + signature_line(ONE, "text\n"))


def test_a_note_splits_at_its_last_empty_line() -> None:
    text = "a\n\n\u2014 one.example AAAAAAA=\n"
    assert Note.parse(ONE.sign(text)).text == text


BAD_NOTES = [
    "",
    "\n",
    "\n\n",
    "text\n",
    "text\n\n",
    "text\n\n\n",
    ONE.sign("text\n").removesuffix("\n"),
    ONE.sign("text\n") + "\n",
    ONE.sign("text\n") + "more\n",
    ONE.sign("te\rxt\n"),
    ONE.sign("te\x00xt\n"),
    ONE.sign("te\x1fxt\n"),
    ONE.sign("text\n").replace("\u2014", "-"),
    ONE.sign("text\n").replace("\u2014 ", "\u2014"),
    ONE.sign("text\n").replace("one.example ", "one.example"),
    ONE.sign("text\n").replace("one.example ", "one.example  "),
    ONE.sign("text\n").replace("one.example", "one+example"),
    "text\n\n\u2014 one.example AAAAAA==\n",
    "text\n\n\u2014 one.example AAAAAAB=\n",
    "text\n\n\u2014 one.example AAAA AAA=\n",
    "x" * (1 << 20) + ONE.sign("text\n"),
]


@pytest.mark.parametrize("note", BAD_NOTES)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(InputError):
        Note.parse(note)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_signature_line_ends_at_a_newline_and_nothing_else(separator: str) -> None:
    """Other line ends would let two readers see different signatures."""
    lines = ONE.sign("text\n").removesuffix("\n") + separator + signature_line(TWO, "text\n")
    with pytest.raises(InputError):
        Note.parse(lines)


BAD_NAMES = ["", "a b", "a\tb", "a+b", "a\u00a0b", "a\u2028b", "a\nb", "a\x00b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_cannot_name_a_key(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)
    with pytest.raises(InputError):
        Signer(name, bytes(32))


def test_a_key_whose_id_is_not_its_own_is_refused() -> None:
    for text in (str(ONE.verifier), ONE.export()):
        head, id_text, key = text.rsplit("+", 2) if "PRIVATE" not in text else _three(text)
        other = "00000000" if id_text != "00000000" else "11111111"
        parse = Signer.parse if text.startswith("PRIVATE") else Verifier.parse
        for bad in (f"{head}+{other}+{key}", f"{head}+{id_text.upper()}x+{key}", f"{head}+{key}"):
            with pytest.raises(InputError):
                parse(bad)


def _three(text: str) -> list[str]:
    head, rest = text.removeprefix("PRIVATE+KEY+").split("+", 1)
    return [f"PRIVATE+KEY+{head}", *rest.split("+", 1)]


@given(st.binary())
def test_base64_is_canonical(data: bytes) -> None:
    text = b64encode(data).decode()
    assert decode_base64(text) == data
    for other in (text + "\n", text + "=", " " + text, text.rstrip("=") + "!"):
        with pytest.raises(InputError):
            decode_base64(other)


@pytest.mark.fuzz
@given(st.one_of(st.text(), st.text("+\n\u2014 AB=ab01")))
def test_any_text_is_read_or_refused_as_bad_input(text: str) -> None:
    for parse in (Note.parse, Verifier.parse, Signer.parse, decode_base64):
        for whole in (text, f"t\n\n\u2014 {text}\n", f"n+00000000+{text}", f"PRIVATE+KEY+{text}"):
            try:
                parse(whole)
            except InputError:
                continue


@pytest.mark.fuzz
@given(st.binary(max_size=100), st.text())
def test_any_bytes_as_a_signature_are_wrong(signature: bytes, text: str) -> None:
    assert not ONE.verifier.holds(text, signature)
