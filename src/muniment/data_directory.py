"""The data directory of a node: one process at a time, private keys apart from the evidence."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from muniment.clock import Clock, SystemClock, rfc3339
from muniment.data_names import ACCESS, COMPLETENESS, FENCED, INDEX, KEYS, LOGS, TOKENS
from muniment.errors import Corrupt, MunimentError, SettingsError
from muniment.log import Shard
from muniment.log.disk import Disk, write_file
from muniment.log.note import Signer
from muniment.store.marks import Mark, Why, read_mark, remove_mark, write_mark

MADE = ".made"
"""What a key is called until its shard is there."""

LOCK_TRIES = 20
LOCK_PAUSE = 0.05
"""Seconds; `muniment verify` looks at the lock for a moment."""

Randomness = Callable[[int], bytes]


class DataDirectory:
    """Makes and claims the directory; makes, finds and names the keys and the shards in it."""

    def __init__(
        self, path: Path, disk: Disk, randomness: Randomness, clock: Clock | None = None
    ) -> None:
        self.path = path
        self._disk, self._randomness = disk, randomness
        self._clock = clock or SystemClock()
        self._lock = -1

    def claim(self) -> None:
        """Makes the directory where it is not there, and locks it. Raises SettingsError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._claim_lock()
            for name in (KEYS, ACCESS, LOGS, INDEX):
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
            self._disk.sync_directory(self.path)
            self._disk.sync_directory(self.path.parent)
            self._sweep()
        except OSError as error:
            self.release()
            raise SettingsError(f"{error.filename or self.path}: {error.strerror}") from error

    def _claim_lock(self) -> None:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(LOCK_PAUSE)
        self.release()
        raise SettingsError(f"{self.path} is in use: another muniment serves or verifies it")

    def _sweep(self) -> None:
        """Removes files that a crash left half made; they were never renamed into place."""
        for folder in (self.path / KEYS, self.path / ACCESS):
            for name in self._disk.names(folder):
                if name.startswith(".") and name.endswith(".new"):
                    self._disk.remove(folder / name)

    def release(self) -> None:
        """Lets another process have the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def tokens(self) -> Path:
        """The file of the access tokens."""
        return self.path / ACCESS / TOKENS

    def books(self, log: str) -> Path:
        """The file in which the completeness of a log is kept; it can be lost."""
        return self.path / COMPLETENESS / f"{log}.json"

    def shards(self, log: str, origin: str) -> dict[str, tuple[Path, Signer]]:
        """Returns the shards of a log that are written here, with their keys.

        A log that has none gets one; those of `read_only` do not count. Raises SettingsError for a
        shard without its key, or a key without its shard: a new shard under an old key would sign
        a second history of it.
        """
        folder = self._folder(log)
        self._finish_creation(log, folder)
        names = self._names(log)
        orphans = sorted(set(self._keys(log, ".key")) - set(names))
        if orphans:
            raise SettingsError(
                f"there is a key of {log}/{orphans[0]}, but no such shard in {folder}: put the "
                "shard back, or move the key away if the shard is to be given up"
            )
        names = [name for name in names if self._mark(log, name) is None]
        if not names:
            names = [self._create(log, folder, origin)]
        return {name: (folder / name, self._signer(log, name)) for name in names}

    def read_only(self, log: str, *, but: Container[Why] = ()) -> dict[str, Path]:
        """Returns the shards of a log that are only read here, for other reasons than `but`.

        Raises SettingsError while a restore of one has not come to its end.
        """
        found = {}
        for name in self._names(log):
            mark = self._mark(log, name)
            if mark is not None and not mark.done:
                raise SettingsError(
                    f"{log}/{name} was not restored to its end: run `muniment restore --from "
                    f"{mark.store}` again"
                )
            if mark is not None and mark.why not in but:
                found[name] = self.path / LOGS / log / name
        return found

    def writes(self, log: str, name: str) -> bool:
        """Whether the shard's key is here, and in use."""
        return self._key(log, name).exists()

    @contextmanager
    def adopting(self, log: str, name: str, signer: Signer) -> Iterator[Path]:
        """Takes in a shard with its key: yields the folder to make it in, which is not there yet.

        When the block ends well, folder and key get their names; else nothing is left of them.
        Raises SettingsError where the shard, or its key, is there already.
        """
        folder, draft = self._folder(log), self.path / KEYS / f"{log}.{name}{MADE}"
        if (folder / name).exists() or self._key(log, name).exists():
            raise SettingsError(
                f"{log}/{name} is here already: {folder / name}; if this node only reads it, stop "
                "it, and move that folder away"
            )
        new = folder / f".{name}.new"
        if new.exists():
            shutil.rmtree(new)
        write_file(self._disk, draft, f"{signer.export()}\n".encode(), 0o600)
        try:
            yield new
            remove_mark(self._disk, self.path, log, name)  # of a folder that was moved away
            self._disk.rename(new, folder / name)
            self._disk.sync_directory(folder)
        except BaseException:
            if new.exists():
                shutil.rmtree(new)
            self._disk.remove(draft)
            raise
        self._disk.rename(draft, self._key(log, name))
        self._disk.sync_directory(draft.parent)

    def set_aside(self, log: str, name: str, detail: str) -> None:
        """Makes a shard read-only that another node writes now, and puts its key out of use."""
        mark = Mark(Why.FENCED, rfc3339(self._clock.now()), detail)
        write_mark(self._disk, self.path, log, name, mark)
        key = self._key(log, name)
        if key.exists():
            self._disk.rename(key, key.with_suffix(FENCED))
            self._disk.sync_directory(key.parent)

    def _folder(self, log: str) -> Path:
        folder = self.path / LOGS / log
        folder.mkdir(exist_ok=True)
        self._disk.sync_directory(folder.parent)
        return folder

    def _names(self, log: str) -> list[str]:
        folder = self.path / LOGS / log
        if not folder.is_dir():
            return []
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")

    def _mark(self, log: str, name: str) -> Mark | None:
        return read_mark(self._disk, self.path, log, name)

    def _keys(self, log: str, suffix: str) -> dict[str, Path]:
        """The key files of a log by the names of their shards."""
        found: dict[str, Path] = {}
        for name in self._disk.names(self.path / KEYS):
            of_log, _, shard = name.removesuffix(suffix).rpartition(".")
            if name.endswith(suffix) and of_log == log:
                found[shard] = self.path / KEYS / name
        return found

    def _create(self, log: str, folder: Path, origin: str) -> str:
        """Makes a shard. Its key gets its name last, so that no key is ever without its shard."""
        name = self._randomness(4).hex()
        signer = Signer.generate(f"{origin}/{log}/{name}", self._randomness)
        draft = self.path / KEYS / f"{log}.{name}{MADE}"
        write_file(self._disk, draft, f"{signer.export()}\n".encode(), 0o600)
        Shard.create(folder / name, signer, self._disk)
        self._disk.rename(draft, self._key(log, name))
        self._disk.sync_directory(draft.parent)
        return name

    def _finish_creation(self, log: str, folder: Path) -> None:
        """Ends what a crash interrupted: a shard half made, a key still under its first name."""
        for path in folder.glob(".*.new"):
            shutil.rmtree(path)
        for name, draft in self._keys(log, MADE).items():
            if (folder / name).is_dir():
                self._disk.rename(draft, self._key(log, name))
            else:
                self._disk.remove(draft)
            self._disk.sync_directory(draft.parent)

    def _key(self, log: str, name: str) -> Path:
        return self.path / KEYS / f"{log}.{name}.key"

    def _signer(self, log: str, name: str) -> Signer:
        path = self._key(log, name)
        try:
            return Signer.parse(self._disk.read(path).decode("ascii"))
        except FileNotFoundError:
            raise SettingsError(
                f"the key of {log}/{name} is missing: put {path} back; without it the shard can "
                "be verified, but not continued"
            ) from None
        except (MunimentError, UnicodeDecodeError) as error:
            raise Corrupt(str(path), 0, "a private key", str(error)) from error
