"""What every store must do, as a class that the test module of a backend subclasses.

`StoreBehaviour` wants a fixture `store`: a Store in which nothing is stored yet (a prefix of its
own does). `LockBehaviour` (behaviour_locks.py) wants a fixture `lockable` besides. What a kind of
store cannot do is said in `cannot`, with the reason: its test is skipped with that reason and
never passes silently.

    class TestLocalStore(StoreBehaviour):
        cannot = {"nested keys": "a file is no folder"}

        @pytest.fixture
        def store(self, tmp_path: Path) -> Iterator[Store]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Barrier
from typing import ClassVar, TypeVar

import pytest

from muniment.errors import NoSuchObject, StoreFailing
from muniment.store.port import Lock, Mode, Object, Store

CAPABILITIES = {
    "fence": "put_if_absent is atomic",
    "put if absent": "put_if_absent leaves an object that is there as it is",
    "check sha256": "bytes that do not have the given SHA-256 are refused",
    "nested keys": "there can be an object `a` and an object `a/b`",
    "every character": "a key may have any printable ASCII character",
    "long keys": "a key may have 900 bytes",
    "refuse locks": "a put with a lock stores nothing where nothing can be locked",
    "compliance": "a lock can be one that nobody shortens",
    "governance": "a lock can be one that a right passes",
    "short lock": "a lock may last seconds",
    "extend": "a lock can be made longer",
    "harden": "governance can be made compliance",
    "refuse the past": "a lock that has ended already is refused",
    "hold": "an object can be put on legal hold",
    "hold on": "a hold keeps an object whose lock has ended",
    "versions": "an overwrite keeps the version before",
    "markers": "a delete hides the object behind a delete marker",
}
MANY = 1_025
"""More objects than a page of S3 holds."""

T = TypeVar("T")


class Behaviour:
    """What the suites share."""

    cannot: ClassVar[Mapping[str, str]] = {}
    """What this kind of store cannot do (of CAPABILITIES, or one test), and why."""

    many: ClassVar[int] = MANY
    """More objects than one page of this store's list holds."""

    lock_for: ClassVar[timedelta] = timedelta(days=1)
    """How long the locks of the tests last, but for the short ones."""

    @pytest.fixture(autouse=True)
    def _possible(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ in self.cannot:
            self.needs(request.function.__name__)

    def needs(self, *names: str) -> None:
        """Skips the test where the store cannot do one of these."""
        for name in names:
            if name in self.cannot:
                pytest.skip(f"cannot {name}: {self.cannot[name]}")

    def lock(self, mode: Mode = Mode.COMPLIANCE, *, later: timedelta = timedelta()) -> Lock:
        """Returns a lock of whole seconds from now on."""
        return Lock(mode, (datetime.now(UTC) + self.lock_for + later).replace(microsecond=0))

    def test_what_it_cannot_do_is_named_as_here(self) -> None:
        assert all(name in CAPABILITIES or hasattr(self, name) for name in self.cannot)
        assert all(self.cannot.values())


def at_once(count: int, call: Callable[[int], T]) -> list[T]:
    """Returns what `call` returned for 0 .. count - 1, each on a thread, begun together."""
    barrier = Barrier(count)

    def one(number: int) -> T:
        barrier.wait(30)
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def fill(store: Store, keys: list[str]) -> None:
    """Puts an object, whose bytes are its key, under each key."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, key.encode()), keys))


def keys_of(store: Store, prefix: str = "", after: str = "") -> list[str]:
    """Returns the keys that the store lists."""
    return [found.key for found in store.list(prefix, after=after)]


class StoreBehaviour(Behaviour):
    """Bytes by key."""

    def test_gives_back_what_was_put(self, store: Store) -> None:
        version = store.put("logs/a/1.seg", b"bytes", sha256=sha256(b"bytes").digest())
        assert store.get("logs/a/1.seg") == b"bytes"
        assert store.get("logs/a/1.seg", version=version) == b"bytes"

    @pytest.mark.parametrize("size", [0, 1, 8 << 20])
    def test_takes_objects_of_any_size(self, store: Store, size: int, tmp_path: Path) -> None:
        body = Random(size).randbytes(size)
        path = tmp_path / "body"
        path.write_bytes(body)
        store.put("bytes", body, sha256=sha256(body).digest())
        assert store.put_if_absent("file", path, sha256=sha256(body).digest()) is not None
        store.put("unchecked", path)
        for key in ("bytes", "file", "unchecked"):
            found = store.head(key)
            assert found is not None and found.size == size
            assert store.get(key) == body

    def test_puts_in_the_place_of_what_was_there(self, store: Store) -> None:
        store.put("a", b"first")
        store.put("a", b"second")
        assert store.get("a") == b"second"
        assert keys_of(store) == ["a"]

    def test_puts_only_where_nothing_is(self, store: Store) -> None:
        self.needs("put if absent")
        assert store.put_if_absent("a", b"first") is not None
        assert store.put_if_absent("a", b"second") is None
        assert store.put_if_absent("a", b"first") is None
        assert store.get("a") == b"first"

    def test_puts_again_where_something_was_removed(self, store: Store) -> None:
        store.put_if_absent("a", b"first")
        store.remove("a")
        assert store.put_if_absent("a", b"second") is not None
        assert store.get("a") == b"second"

    def test_of_16_at_once_one_puts_its_bytes(self, store: Store) -> None:
        self.needs("fence")

        def attempt(number: int) -> str | None:
            try:
                return store.put_if_absent("a", b"writer %d" % number)
            except StoreFailing as error:  # a conflict that the store does not decide
                assert error.reason == "busy", error
                return None

        for key in range(3):
            store.remove("a")
            won = [n for n, version in enumerate(at_once(16, attempt)) if version is not None]
            assert len(won) == 1, key
            assert store.get("a") == b"writer %d" % won[0]

    def test_says_whether_it_fences(self, store: Store) -> None:
        assert store.fences("probe") is ("fence" not in self.cannot)
        assert keys_of(store) == []

    @pytest.mark.parametrize("put", ["put", "put_if_absent"])
    @pytest.mark.parametrize("body", ["bytes", "file"])
    def test_refuses_bytes_of_another_sha256(
        self, store: Store, put: str, body: str, tmp_path: Path
    ) -> None:
        self.needs("check sha256")
        path = tmp_path / "body"
        path.write_bytes(b"other")
        with pytest.raises(StoreFailing) as caught:
            getattr(store, put)(
                "a", b"other" if body == "bytes" else path, sha256=sha256(b"this").digest()
            )
        assert (caught.value.reason, caught.value.unknown) == ("refused", False)
        assert store.head("a") is None

    def test_keeps_a_lock_or_refuses_it(self, store: Store) -> None:
        lock = self.lock(Mode.GOVERNANCE)
        try:
            version = store.put("a", b"bytes", lock=lock)
        except StoreFailing:
            self.needs("refuse locks")
            assert store.head("a") is None
        else:
            assert store.write_once.state("a", version=version).lock == lock

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 10), (0, 1), (3, 4), (9, 1), (9, 50), (0, 50), (10, 1), (99, 1), (0, 0), (5, 0)],
    )
    def test_gives_back_ranges(self, store: Store, offset: int, length: int) -> None:
        version = store.put("a", b"0123456789")
        wanted = b"0123456789"[offset : offset + length]
        assert store.get_range("a", offset, length) == wanted
        assert store.get_range("a", offset, length, version=version) == wanted

    def test_gives_back_ranges_of_an_empty_object(self, store: Store) -> None:
        store.put("a", b"")
        assert store.get_range("a", 0, 10) == b""
        assert store.get_range("a", 5, 10) == b""

    def test_says_what_is_there(self, store: Store) -> None:
        version = store.put("a/b", b"12345")
        found = store.head("a/b")
        assert found is not None
        assert (found.key, found.size, found.version) == ("a/b", 5, version)
        assert found.latest and not found.marker
        assert store.head("a/b", version=version) == found

    def test_says_what_is_not_there(self, store: Store) -> None:
        store.put("a/b", b"x")
        for key in ("a", "a/", "a/b/c", "a/bc", "nothing"):
            assert store.head(key) is None
            with pytest.raises(NoSuchObject):
                store.get(key)
            with pytest.raises(NoSuchObject):
                store.get_range(key, 0, 1)
            with pytest.raises(NoSuchObject):
                store.write_once.state(key)

    def test_lists_by_key(self, store: Store) -> None:
        assert keys_of(store) == []
        keys = ["a-b/x", "a/b", "a/b-c", "a/bc/d", "a0", "b/00000000000000000010", "b/9", "b/Z"]
        fill(store, keys[::-1])
        assert keys_of(store) == sorted(keys)
        assert [found.size for found in store.list()] == [len(key) for key in sorted(keys)]
        assert all(found.latest and not found.marker for found in store.list())

    def test_lists_a_prefix_that_need_not_be_a_folder(self, store: Store) -> None:
        fill(store, ["logs/a/1", "logs/ab/1", "logs/b/1", "log"])
        assert keys_of(store, "logs/a") == ["logs/a/1", "logs/ab/1"]
        assert keys_of(store, "logs/a/") == ["logs/a/1"]
        assert keys_of(store, "logs/a/1") == ["logs/a/1"]
        assert keys_of(store, "nothing/") == keys_of(store, "logs/a/12") == []

    def test_lists_what_is_behind_a_key(self, store: Store) -> None:
        keys = [f"a/{number:02}" for number in range(10)]
        fill(store, [*keys, "b/00"])
        assert keys_of(store, after="a/04") == [*keys[5:], "b/00"]
        assert keys_of(store, "a/", after="a/04") == keys[5:]
        assert keys_of(store, "a/", after="a/04x") == keys[5:]
        assert keys_of(store, "a/", after="A") == keys
        assert keys_of(store, "a/", after="a/09") == keys_of(store, "a/", after="z") == []

    def test_lists_more_than_a_page(self, store: Store) -> None:
        keys = [f"many/{number:020}" for number in range(self.many)]
        fill(store, keys)
        listed = list(store.list("many/"))
        assert [found.key for found in listed] == keys
        assert {found.size for found in listed} == {25}
        assert keys_of(store, "many/", after=keys[9]) == keys[10:]
        assert isinstance(next(iter(store.list("many/"))), Object)

    def test_removes(self, store: Store) -> None:
        fill(store, ["a/1", "a/2"])
        store.remove("a/1")
        store.remove("a/1")
        store.remove("a/nothing")
        assert store.head("a/1") is None
        with pytest.raises(NoSuchObject):
            store.get("a/1")
        assert keys_of(store) == ["a/2"]
        assert {found.key for found in store.write_once.versions()} == {"a/2"}

    def test_takes_every_printable_character_in_a_key(self, store: Store) -> None:
        self.needs("every character")
        printable = "".join(map(chr, range(0x20, 0x7F)))
        keys = [f"k/a{sign}b" for sign in printable] + ["k/%41", "k/a b+c%20d", f"k/{printable}"]
        fill(store, keys)
        assert keys_of(store, "k/") == sorted(keys)
        for key in keys:
            assert store.get(key) == key.encode()
        assert keys_of(store, "k/a+") == ["k/a+b"]
        assert keys_of(store, "k/", after="k/a~") == ["k/a~b"]

    def test_takes_keys_of_900_bytes(self, store: Store) -> None:
        self.needs("long keys")
        key = "/".join(["k" * 99] * 9)
        store.put(key, b"x")
        assert keys_of(store) == [key]
        assert store.get(key) == b"x"

    def test_takes_a_key_and_keys_below_it(self, store: Store) -> None:
        self.needs("nested keys")
        fill(store, ["a", "a/b", "a/b/c"])
        assert keys_of(store) == ["a", "a/b", "a/b/c"]
        assert store.get("a/b") == b"a/b"

    def test_serves_threads_at_once(self, store: Store) -> None:
        def work(number: int) -> bytes:
            store.put(f"t/{number}", b"%d" % number * 1_000)
            return store.get(f"t/{number}")

        assert at_once(12, work) == [b"%d" % number * 1_000 for number in range(12)]

    def test_names_itself(self, store: Store) -> None:
        assert store.name and "://" in store.url
