"""What a store over HTTP must make of a service in trouble: a suite, to be subclassed.

`opened` gives the store at a URL, with a time-out of half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from http_double import Answer, Asked, served
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.errors import MunimentError, StoreFailing
from muniment.store.port import Lock, Mode, Store

TIMEOUT = 0.5
BODIES = (
    st.sampled_from([b"", b"{}", b"[]", b"null", b"<a/>", b"<a>", b'{"items": [{}]}']) | st.binary()
)
TYPES = ["application/json", "application/xml", "text/html", ""]
NAMES = [
    "x-ms-error-code",
    "Content-Range",
    "x-ms-version-id",
    "x-goog-hash",
    "Last-Modified",
    "ETag",
]
HEADERS = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from(["", "a", "0", "bytes 0-1/2", "crc32c=AAAA"]),
    max_size=3,
)
STATUSES = [
    200,
    201,
    202,
    204,
    206,
    301,
    304,
    308,
    400,
    401,
    403,
    404,
    409,
    412,
    416,
    429,
    500,
    503,
]


def calls(store: Store) -> list[Callable[[], object]]:
    """One call of each kind."""
    policy = store.write_once
    lock = Lock(Mode.COMPLIANCE, datetime.now(UTC) + timedelta(days=1))
    return [
        lambda: store.put("a", b"bytes", lock=lock),
        lambda: store.put_if_absent("a", b"bytes"),
        lambda: store.get("a"),
        lambda: store.get_range("a", 1, 2),
        lambda: store.head("a"),
        lambda: list(store.list("a")),
        lambda: store.remove("a"),
        policy.bucket,
        lambda: policy.state("a"),
        lambda: policy.extend("a", lock),
        lambda: policy.hold("a", True),
        lambda: list(policy.versions("a")),
        lambda: policy.remove_version("a", "1", bypass=True),
        lambda: policy.remove_version("a", "deleted"),
    ]


class Trouble:
    """The suite."""

    def opened(self, url: str, timeout: float = 30.0) -> Store:
        raise NotImplementedError

    def endless(self) -> tuple[bytes, dict[str, str]]:
        """A page of a list that says that there is more: body and headers."""
        raise NotImplementedError

    def test_a_lost_answer_leaves_a_write_unknown(self) -> None:
        asked: list[Asked] = []

        def answer(request: Asked) -> Answer:
            asked.append(request)
            return Answer(0)

        with served(answer) as url:
            for number, call in enumerate(calls(self.opened(url))[:4]):
                asked.clear()
                with pytest.raises(StoreFailing) as caught:
                    call()
                assert (caught.value.reason, caught.value.unknown) == ("unreachable", number < 2)
                assert len(asked) == 1

    def test_an_answer_that_does_not_come_leaves_a_write_unknown(self) -> None:
        over = Event()

        def answer(request: Asked) -> Answer:
            over.wait(20)
            return Answer(0)

        with served(answer) as url:
            try:
                for number, call in enumerate(calls(self.opened(url, TIMEOUT))[:3]):
                    with pytest.raises(StoreFailing) as caught:
                        call()
                    assert (caught.value.reason, caught.value.unknown) == ("slow", number < 2)
            finally:
                over.set()

    def test_a_list_that_never_ends_is_ended(self) -> None:
        with served(lambda request: Answer(200, *self.endless())) as url:
            store = self.opened(url)
            for listed in (store.list, store.write_once.versions):
                with pytest.raises(StoreFailing, match="is listed behind"):
                    list(listed())

    @pytest.mark.fuzz
    def test_any_answer_is_read_or_refused(self) -> None:
        now = [Answer(200)]

        with served(lambda request: now[0]) as url:
            store = self.opened(url, TIMEOUT)

            @settings(suppress_health_check=list(HealthCheck))
            @given(st.sampled_from(STATUSES), BODIES, HEADERS, st.sampled_from(TYPES))
            def check(status: int, body: bytes, headers: dict[str, str], kind: str) -> None:
                now[0] = Answer(status, b"" if status in (204, 304) else body)
                now[0] = Answer(status, now[0].body, {**headers, "Content-Type": kind})
                for call in calls(store):
                    try:
                        call()
                    except MunimentError:
                        continue

            check()
