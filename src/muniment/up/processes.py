"""The processes of a fleet, by name: started until they are ready, ended, their output shown.

Which ones there are, and what happens in which order, is `fleet`'s to say.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from muniment.clock import Clock
from muniment.errors import Unavailable
from muniment.up import front
from muniment.up.child import Child
from muniment.up.node_settings import EDGE
from muniment.up.output import Output, Show
from muniment.up.places import Places
from muniment.up.plan import Plan, Planned

READY_SECONDS = 90.0
STARTS = 4
"""A process that dies so often before it was ready once will not get ready."""

PAUSE = 0.1

Say = Callable[[str], None]
Ready = Callable[[str], Awaitable[bool]]
"""Asks a node, or the edge, by its URL whether it is ready."""


class Processes:
    """Those that were started, also where they died or were stopped since. For one event loop."""

    def __init__(self, places: Places, ready: Ready, show: Show, clock: Clock) -> None:
        self._places, self._ready, self._show, self._clock = places, ready, show, clock
        self._children: dict[str, Child] = {}
        self._outputs: list[Output] = []

    def __contains__(self, name: str) -> bool:
        return name in self._children

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def get(self, name: str) -> Child | None:
        """Returns a process, or None where it was never started."""
        return self._children.get(name)

    async def start(self, nodes: Sequence[Planned], say: Say) -> None:
        """Starts nodes and waits until each is ready. Raises Unavailable, OSError."""
        for node in nodes:
            if node.name not in self._children:
                self._children[node.name] = self._new_child(node.name, _serve(node, self._places))
            await self._children[node.name].start()
        waits = (self._wait_ready(node.name, node.url, say) for node in nodes)
        for result in await asyncio.gather(*waits, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def start_edge(self, plan: Plan, say: Say) -> None:
        """Starts the edge, whose description is there, and waits until it answers.

        Raises Unavailable, OSError.
        """
        self._children[EDGE] = self._new_child(
            EDGE,
            front.command(plan, self._places),
            last_signal=signal.SIGTERM,  # it has children of its own, and ends them
            environment=front.environment(),
        )
        await self._children[EDGE].start()
        await self._wait_ready(EDGE, plan.url, say)

    async def stop(self, names: Sequence[str], seconds: float, say: Say) -> bool:
        """Ends those that were started, all at once; says whether they ended as they should."""
        there = [self._children[name] for name in names if name in self._children]
        results = await asyncio.gather(*(child.stop(seconds) for child in there))
        for child, status in zip(there, results, strict=True):
            say(f"{child.name} ended" + (f" with {status}" if status else ""))
        return not any(results)

    async def kill(self) -> None:
        """Ends all at once; none is started again."""
        await asyncio.gather(*(child.kill(for_good=True) for child in self._children.values()))

    def drop(self, names: Iterable[str]) -> None:
        """Lets go of those that ended for good."""
        for name in names:
            del self._children[name]

    def close(self) -> None:
        """Closes the files of their output."""
        for output in self._outputs:
            output.close()

    async def _wait_ready(self, name: str, url: str, say: Say) -> None:
        """Raises Unavailable for a process that is not ready in time, or dies again and again."""
        child, began = self._children[name], self._children[name].restarts
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while child.restarts - began < STARTS:
                    if await self._ready(url):
                        say(f"{name} is ready at {url}")
                        return
                    await asyncio.sleep(PAUSE)
        raise Unavailable(f"{name} does not get ready: see {self._places.log(name)}")

    def _new_child(
        self,
        name: str,
        command: Sequence[str],
        *,
        last_signal: int = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        output = Output(name, self._places.log(name), self._show)
        self._outputs.append(output)
        return Child(
            name,
            command,
            output,
            last_signal=last_signal,
            environment=environment,
            clock=self._clock,
        )


def _serve(node: Planned, places: Places) -> list[str]:
    serve = [sys.executable, "-m", "muniment", "serve"]
    return [*serve, "--config", str(places.settings(node.name))]
