"""A batch that waits for its answer, and what an answer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from muniment.errors import MunimentError
from muniment.log.batch import Acknowledgement, Batch

Result = Acknowledgement | MunimentError
Done = Callable[[Result], None]
"""Takes the answer to a batch, on the writer's thread: it must be quick and must not raise."""


@dataclass(slots=True)
class Waiting:
    """A batch, and whom to tell what became of it; until then its id is `unanswered`."""

    batch: Batch
    done: Done
    unanswered: set[str]
    answered: bool = False

    def answer(self, result: Result) -> None:
        """Gives the answer."""
        self.answered = True
        if self.batch.id is not None:
            self.unanswered.discard(self.batch.id)
        self.done(result)
