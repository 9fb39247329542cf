"""A process that claims a shard in a store and writes to it until it is fenced or ended.

    python wal_writer.py CONNECTION NODE

CONNECTION is JSON. It prints what it is told, a line each: `term N from SIZE`, `stored FRAMES`,
`not FRAMES`, `fenced WORDS`. Every append holds one entry, whose frames name the node.
"""

from __future__ import annotations

import os
import sys
import threading
from hashlib import sha256

from muniment.clock import SystemClock
from muniment.errors import MunimentError
from muniment.log.replica import Act, Append
from muniment.settings.store import WalSettings
from muniment.store.opening import open_store
from muniment.store.wal import Claim, Node, WalReplica, claim
from muniment.store.wal.header import NOTHING

SEGMENT = 50
AHEAD = 16


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Writer:
    """Appends of one entry, `AHEAD` of them under way."""

    def __init__(self, settings: WalSettings, node: str) -> None:
        self.settings, self.node = settings, node
        self.room = threading.Semaphore(AHEAD)
        self.fenced = threading.Event()

    def run(self) -> None:
        made = self._claim()
        size, root, segment = made.size, made.root or NOTHING, made.size
        say("term", made.term, "from", size)
        replica = made.replica(self.settings)
        count = 0
        while not self.fenced.is_set():
            self.room.acquire()
            count += 1
            frames = f"{self.node}.{made.term}.{count}".encode()
            root = sha256(root + frames).digest()
            segment = size if size - segment >= SEGMENT else segment
            self._put(replica, Append(Act.GROUP, segment, size, size + 1, root, frames))
            size += 1
        say("fenced", replica.fenced)
        replica.close(1.0)
        made.close()

    def _claim(self) -> Claim:
        return claim(
            open_store(self.settings, "wal"),
            "test.example",
            "default",
            "aa",
            Node(self.node, sha256(self.node.encode()).digest()[:16]),
            clock=SystemClock(),
            randomness=os.urandom,
            take_over=True,
        )

    def _put(self, replica: WalReplica, append: Append) -> None:
        def told(error: MunimentError | None) -> None:
            say("stored" if error is None else "not", append.frames.decode())
            if error is not None:
                self.fenced.set()
            self.room.release()

        replica.put(append, told)


if __name__ == "__main__":
    Writer(WalSettings.model_validate_json(sys.argv[1]), sys.argv[2]).run()
