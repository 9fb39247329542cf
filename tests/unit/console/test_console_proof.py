"""The proof is checked in the browser: it holds for an honest server and for nobody else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from console_evidence import LogKey, inclusion, leaf_hash, root_of
from console_server import ORIGIN, SHARD, Site
from playwright.sync_api import BrowserContext, Page, expect

Visit = Callable[[str], Page]
CHOSEN = 137
OPEN = f"?range=all&entry={SHARD}:{CHOSEN}"
OTHER = LogKey(ORIGIN, b"another seed, another key, 32 b.")

# Made by the Go project's tlog and note packages: leaf i is the ASCII text "entry-<i>".
GO_ROOT_1000 = "0D1jt3KvmQGYF+4+AYKG02omFhvbW/6CKOksAqvpEV0="
GO_KEY = "example.com/audit+29b87bfc+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
GO_CHECKPOINT = (
    "example.com/audit\n70000\npipUvjMpT/1aXExjf9dUYwtxqJLoNW46Zmpcin/9FRg=\n\n"
    "— example.com/audit Kbh7/IeVjlDfU06b8Xq44HO0XpdaLxGoDVA+yCDnTu+lAwnyz2SWS4SWMrNFzQrNripK5f"
    "s1JCxfLOIMaiBQO86ZbQc=\n"
)


def verdict(page: Page) -> str:
    """The headline once the check is done."""
    settled = page.locator(".verdict.good h3, .verdict.bad h3, .verdict.unsure h3")
    return settled.inner_text()


def failing(page: Page) -> list[str]:
    """The names of the steps that failed."""
    return page.locator(".steps li.bad b").all_inner_texts()


def flip(text: str, line: int) -> str:
    """The proof with one character of one base64 line changed to another value."""
    lines = text.split("\n")
    lines[line] = ("A" if lines[line][0] != "A" else "B") + lines[line][1:]
    return "\n".join(lines)


def test_an_honest_entry_is_proved_step_by_step(busy: Site, visit: Visit) -> None:
    page = visit(OPEN)
    assert verdict(page) == "The proof holds"
    expect(page.locator(".verdict")).to_contain_text("entry 137 under the log’s head at size 260")
    page.get_by_text("How this was checked").click()
    names = page.locator(".steps > li > div > b").all_inner_texts()
    assert names == ["Leaf", "Path", "Root", "Checkpoint", "Signature"]
    leaves = busy.evidence.leaves()
    hashes = page.locator(".steps > li > div > .hash").all_inner_texts()
    assert hashes == [leaves[CHOSEN].hex(), root_of(leaves).hex()]
    page.locator(".steps details.path summary").click()
    path = page.locator(".steps details.path .hash").all_inner_texts()
    assert path == [node.hex() for node in inclusion(leaves, CHOSEN)]
    expect(page.locator(".keyrow")).to_contain_text("came from this same server")


@pytest.mark.parametrize("place", [0, 40, -1], ids=["header", "middle", "end"])
def test_one_changed_bit_of_the_entry_is_found(busy: Site, visit: Visit, place: int) -> None:
    def change(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[place] ^= 1
        return bytes(changed)

    busy.evidence.faults.entry = change
    page = visit(OPEN)
    assert verdict(page) == "The proof does not hold"
    assert failing(page) == ["Root"]


def test_each_changed_hash_of_the_proof_is_found(busy: Site, visit: Visit) -> None:
    for number in range(len(inclusion(busy.evidence.leaves(), CHOSEN))):
        busy.evidence.faults.proof = partial(flip, line=2 + number)
        page = visit(OPEN)
        assert verdict(page) == "The proof does not hold"
        assert failing(page) == ["Root"]


def test_a_changed_signature_is_found(busy: Site, visit: Visit) -> None:
    def change(text: str) -> str:
        blob = text.rstrip("\n").split(" ")[-1]
        signature = bytearray(base64.b64decode(blob))
        signature[-1] ^= 1
        return text.replace(blob, base64.b64encode(signature).decode())

    busy.evidence.faults.proof = change
    page = visit(OPEN)
    assert verdict(page) == "The proof does not hold"
    assert failing(page) == ["Signature"]


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda text: text.replace("index 137\n", "index 136\n"), "Path"),
        (lambda text: text.replace("\n260\n", "\n261\n"), "Signature"),
        (lambda text: text.replace("\n260\n", "\n100\n"), "Path"),
        (lambda text: text.replace(ORIGIN, "elsewhere/log"), "Checkpoint"),
        (lambda text: text.split("\n— ")[0] + "\n", "Proof file"),
        (lambda text: text.replace("tlog-proof@v1", "tlog-proof@v9"), "Proof file"),
        (lambda text: "", "Proof file"),
        (lambda text: "<html>not found</html>", "Proof file"),
    ],
    ids=["index", "size", "small-size", "origin", "unsigned", "version", "empty", "html"],
)
def test_a_proof_that_says_something_else_is_refused(
    busy: Site, visit: Visit, change: Callable[[str], str], step: str
) -> None:
    busy.evidence.faults.proof = change
    page = visit(OPEN)
    assert verdict(page) == "The proof does not hold"
    assert failing(page) == [step]


def test_a_signature_by_a_key_that_nobody_knows_is_ignored(busy: Site, visit: Visit) -> None:
    further = "\n— witness.example/w1 AAAAAAAAAAAA\n— "
    busy.evidence.faults.proof = lambda text: text.replace("\n— ", further)
    assert verdict(visit(OPEN)) == "The proof holds"


def test_a_checkpoint_signed_by_another_key_is_refused(busy: Site, visit: Visit) -> None:
    mine, theirs = busy.evidence.checkpoint(), OTHER.checkpoint(busy.evidence.leaves())
    busy.evidence.faults.proof = lambda text: text.replace(mine, theirs)
    page = visit(OPEN)
    assert verdict(page) == "The proof does not hold"
    assert failing(page) == ["Signature"]


def test_a_pinned_key_is_used_and_kept(busy: Site, visit: Visit) -> None:
    page = visit(OPEN)
    page.get_by_role("button", name="Pin this key").click()
    expect(page.locator(".verdict")).to_contain_text("the key that you pinned")
    page.reload()
    expect(page.locator(".verdict")).to_contain_text("the key that you pinned")
    page.get_by_role("button", name="Unpin").click()
    expect(page.locator(".keyrow")).to_contain_text("came from this same server")


def test_a_changed_key_is_a_loud_warning_until_the_pin_is_given_up(
    busy: Site, visit: Visit
) -> None:
    page = visit(OPEN)
    page.get_by_role("button", name="Pin this key").click()
    expect(page.locator(".verdict")).to_contain_text("the key that you pinned")
    pinned = busy.evidence.key.verifier
    busy.evidence.key = OTHER  # everything the server now says is consistent with the new key
    page.reload()
    assert verdict(page) == "The key has changed"
    assert failing(page) == ["Key", "Signature"]
    expect(page.locator(".keyrow")).to_contain_text(pinned)
    expect(page.locator(".keyrow")).to_contain_text(OTHER.verifier)
    page.get_by_role("button", name="Forget the pinned key").click()
    expect(page.locator(".verdict.good h3")).to_have_text("The proof holds")


def test_a_browser_without_ed25519_says_so(
    busy: Site, context: BrowserContext, visit: Visit
) -> None:
    context.add_init_script(
        """crypto.subtle.importKey = async () => {
          throw new DOMException("no Ed25519", "NotSupportedError");
        };"""
    )
    page = visit(OPEN)
    assert verdict(page) == "Inclusion holds; signature not checked by this browser"
    page.get_by_text("How this was checked").click()
    expect(page.locator(".steps li.unsure")).to_contain_text("this browser has no Ed25519")


def test_a_page_without_cryptography_says_so(
    busy: Site, context: BrowserContext, visit: Visit
) -> None:
    context.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined });")
    page = visit(OPEN)
    assert verdict(page) == "Not checked"
    expect(page.locator(".verdict")).to_contain_text("plain HTTP")


def test_a_fresh_entry_waits_for_the_next_published_checkpoint(busy: Site, visit: Visit) -> None:
    busy.evidence.faults.proof_missing = 2
    assert verdict(visit(OPEN)) == "The proof holds"


def test_an_entry_beyond_the_log_is_a_problem_and_not_a_verdict(busy: Site, visit: Visit) -> None:
    page = visit(f"?range=all&entry={SHARD}:99999")
    expect(page.locator("#detail .notice.bad")).to_contain_text("The shard has 260 entries.")
    expect(page.locator(".verdict.good")).to_have_count(0)


def test_proof_entry_and_key_can_be_kept(busy: Site, visit: Visit, tmp_path: Path) -> None:
    page = visit(OPEN)
    kept = {}
    for label in ("Proof", "Entry", "Key"):
        with page.expect_download() as told:
            page.locator(".files").get_by_role("button", name=label, exact=True).click()
        told.value.save_as(tmp_path / label)
        kept[told.value.suggested_filename] = (tmp_path / label).read_bytes()
    name = f"default-{SHARD}-{CHOSEN}"
    assert kept[f"{name}.entry"] == busy.evidence.made[CHOSEN].entry
    assert kept[f"{name}.vkey"].decode() == f"{busy.evidence.key.verifier}\n"
    assert kept[f"{name}.tlog-proof"].endswith(busy.evidence.checkpoint().encode())


def test_the_walk_finds_the_root_for_every_entry_of_every_small_tree(
    site: Site, visit: Visit
) -> None:
    leaves = [leaf_hash(b"entry-%d" % number) for number in range(40)]
    cases = [
        {
            "index": index, "size": size, "leaf": leaves[index].hex(),
            "root": root_of(leaves[:size]).hex(),
            "path": [node.hex() for node in inclusion(leaves[:size], index)],
        }
        for size in range(1, len(leaves) + 1)
        for index in range(size)
    ]  # fmt: skip
    wrong = visit("").evaluate(
        """async (cases) => {
          const { walk } = await import("./js/merkle.js");
          const { hex } = await import("./js/text.js");
          const bytes = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
          const root = async (one, path, size = one.size) => {
            try {
              const walked = await walk(BigInt(one.index), BigInt(size), bytes(one.leaf), path);
              return hex(walked.root);
            } catch {
              return "refused";
            }
          };
          const wrong = [];
          for (const one of cases) {
            const path = one.path.map(bytes);
            if (await root(one, path) !== one.root) wrong.push(["true proof", one]);
            if (await root(one, [...path, path[0] ?? bytes(one.leaf)]) !== "refused") {
              wrong.push(["one hash too many", one]);
            }
            if (path.length && await root(one, path.slice(1)) !== "refused") {
              wrong.push(["one hash too few", one]);
            }
            if (await root(one, path, one.index) !== "refused") wrong.push(["beyond", one]);
          }
          return wrong;
        }""",
        cases,
    )
    assert wrong == []


def test_hashes_and_signatures_agree_with_another_implementation(site: Site, visit: Visit) -> None:
    leaves = [leaf_hash(b"entry-%d" % number) for number in range(1000)]
    assert base64.b64encode(root_of(leaves)).decode() == GO_ROOT_1000
    found = visit("").evaluate(
        """async ([note, key]) => {
          const { checkSignature, parseCheckpoint, parseVerifier } = await import("./js/note.js");
          const verifier = await parseVerifier(key);
          const checkpoint = parseCheckpoint(note);
          const other = parseCheckpoint(note.replace("70000", "70001"));
          return [
            checkpoint.origin, String(checkpoint.size),
            await checkSignature(checkpoint, verifier), await checkSignature(other, verifier),
          ];
        }""",
        [GO_CHECKPOINT, GO_KEY],
    )
    assert found == ["example.com/audit", "70000", "valid", "invalid"]


@pytest.mark.parametrize(
    "key",
    [
        GO_KEY.replace("29b87bfc", "29b87bfd"), GO_KEY.replace("AQOhB7", "AQOhB8"),
        GO_KEY.replace("+AQOh", "+BAOh"), GO_KEY[:-4], "nonsense", "",
    ],
    ids=["id", "key", "type", "short", "nonsense", "empty"],
)  # fmt: skip
def test_a_verifier_key_that_contradicts_itself_is_refused(
    site: Site, visit: Visit, key: str
) -> None:
    refused = visit("").evaluate(
        """async (key) => {
          const { parseVerifier, FormatError } = await import("./js/note.js");
          return parseVerifier(key).then(() => false, (error) => error instanceof FormatError);
        }""",
        key,
    )
    assert refused is True
