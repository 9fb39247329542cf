"""The memory that request bodies may take, all together."""

from __future__ import annotations

from threading import Lock
from types import TracebackType
from typing import Self

from muniment.errors import Overloaded, TooLarge


class Budget:
    """A number of bytes to be held and given back. Safe for several threads."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._lock = Lock()

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self.total - self._free

    def take(self, amount: int, held: int = 0) -> None:
        """Takes `amount` bytes for a request that has `held` already.

        Raises TooLarge where one request would need more than there is for all of them,
        Overloaded where others hold what it needs.
        """
        if held + amount > self.total:
            raise TooLarge(
                f"this request needs {held + amount:,} bytes of memory, more than the "
                f"{self.total:,} for all requests together",
                advice="send fewer entries at once",
            )
        with self._lock:
            if amount > self._free:
                raise Overloaded("the memory for request bodies is used up")
            self._free -= amount

    def give_back(self, amount: int) -> None:
        """Gives bytes back."""
        with self._lock:
            self._free += amount


class Hold:
    """What one request holds of a budget; leaving the `with` block gives all of it back."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.amount = 0

    def grow(self, amount: int) -> None:
        """Holds `amount` bytes more. Raises TooLarge or Overloaded."""
        self._budget.take(amount, self.amount)
        self.amount += amount

    def grow_to(self, amount: int) -> None:
        """Holds at least `amount` bytes. Raises TooLarge or Overloaded."""
        if amount > self.amount:
            self.grow(amount - self.amount)

    def shrink_to(self, amount: int) -> None:
        """Holds no more than `amount` bytes."""
        if amount < self.amount:
            self._budget.give_back(self.amount - amount)
            self.amount = amount

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shrink_to(0)
