"""A sender over HTTP that repeats a post until it is answered well, as webhooks' senders do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

import pytest

from .server import MunimentServer
from .waiting import wait_for

requests = pytest.importorskip("requests", reason="requests is not installed")


@dataclass(frozen=True)
class Post:
    """One request: its path with the query, its headers and its body."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def session(tries: int = 300):
    """A session that tries again after refused and lost connections, 429 and 503."""
    from urllib3.util import Retry

    retry = Retry(
        total=tries,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        backoff_factor=0.05,
        backoff_max=0.5,
        raise_on_status=False,
    )
    made = requests.Session()
    made.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    return made


class Sender:
    """Posts one after the other, each until it is answered with one of the `good` statuses."""

    def __init__(self, url: str, posts: Iterable[Post], good: tuple[int, ...]) -> None:
        self._url, self._posts, self._good = url, posts, good
        self.answered = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all is sent."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        with session() as client:
            for post in self._posts:
                answer = client.post(
                    self._url + post.path, data=post.body, headers=dict(post.headers), timeout=20
                )
                if answer.status_code not in self._good:
                    self.wrong.append(f"{answer.status_code} {answer.text}")
                    return
                self.answered += 1


def send_through_kills(
    server: MunimentServer,
    senders: list[Sender],
    *,
    kills: int,
    random: Random,
    pause: Callable[[float], None],
) -> None:
    """Kills the server in mid-stream so often, starts it again each time, and waits for the end."""
    for _ in range(kills):
        before = sum(sender.answered for sender in senders)
        pause(random.uniform(0.02, 0.3))
        wait_for(
            lambda before=before: (
                sum(s.answered for s in senders) > before or all(s.done for s in senders)
            ),
            "an answer",
        )
        server.kill()
        server.start()
    wait_for(lambda: all(sender.done for sender in senders), "the senders to end", 120)
    assert [sender.wrong for sender in senders] == [[] for _ in senders]
