"""Puts objects into a local store until it is killed: `python local_put.py FOLDER SEED`.

Writes a line for every object that was acknowledged, and one before each that is begun.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from random import Random

from muniment.settings.store import Connection
from muniment.store.local import LocalStore


def main(folder: str, seed: str) -> None:
    random = Random(seed)
    store = LocalStore(Connection(url=Path(folder).as_uri()), "killed")
    for number in range(100_000):
        body = random.randbytes(random.randrange(300_000))
        key = f"{seed}/{number:06}-{sha256(body).hexdigest()}"
        put = store.put if number % 2 else store.put_if_absent
        put(key, body, sha256=sha256(body).digest())
        print(key, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
