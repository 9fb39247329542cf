"""A whole fleet on one machine, run by one process: start, scale, restart, stop.

One change at a time. What is changed is told to a `Say`, sentence by sentence. The nodes drain by
themselves when they are told to end; the edge learns from its description who is there.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

from muniment.clock import Clock, SystemClock
from muniment.errors import SettingsError, Unavailable
from muniment.log.disk import Disk, PosixDisk
from muniment.settings.fleet import Role
from muniment.up import front
from muniment.up.child import Child, ProcessState
from muniment.up.node_settings import EDGE
from muniment.up.nodes import Nodes, Sizes, sizes
from muniment.up.output import Show
from muniment.up.places import Places
from muniment.up.plan import MOST_NODES, EdgeKind, Plan, Planned
from muniment.up.ports import FreePorts
from muniment.up.prepare import prepare
from muniment.up.processes import Processes, Say
from muniment.up.status import ProcessStatus, status_of

STOP_SECONDS = 90.0
"""What draining, sealing and archiving may take together."""

EDGE_STOP_SECONDS = 60.0
"""More than the edge gives to what is under way, before it ends its balancer otherwise."""

SEEN_SECONDS = 60.0


class Fleet:
    """The processes of a plan. `start` first, `stop` last; all for one event loop."""

    def __init__(
        self,
        places: Places,
        plan: Plan,
        show: Show,
        *,
        disk: Disk | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.places, self.plan = places, plan
        self._show, self._disk, self._clock = show, disk or PosixDisk(), clock or SystemClock()
        self.processes = Processes(places, lambda url: self.nodes.ready(url), show, self._clock)
        self._nodes: Nodes | None = None
        self._changing, self._stopping = asyncio.Lock(), False

    @property
    def nodes(self) -> Nodes:
        """Who asks the nodes."""
        if self._nodes is None:
            self._nodes = Nodes(self.places)
        return self._nodes

    def say(self, text: str) -> None:
        """Shows what is to be said of the fleet."""
        self._show("up", text)

    async def start(self, say: Say) -> None:
        """Starts everything, and waits until the edge answers for it.

        Raises Unavailable where something did not come up in time; `stop` is then still to be
        called.
        """
        async with self._changing:
            await self.processes.start(self.plan.present(), say)
            if self.plan.edge is not EdgeKind.NONE:
                self._describe()
                await self.processes.start_edge(self.plan, say)

    async def scale(self, count: int, say: Say) -> None:
        """Makes the number of ingest nodes `count`; those who go are drained, and lose nothing.

        Raises SettingsError for a number that cannot be, Unavailable where a node did not come up,
        or did not hand over all that it had.
        """
        if not 1 <= count <= MOST_NODES:
            raise SettingsError(f"scale takes 1 to {MOST_NODES} nodes")
        async with self._change():
            ports = FreePorts(self.plan.ports)
            before = {node.name for node in self.plan.present()}
            plan = self.plan.sized(Role.INGEST, count, ports)
            after = {node.name for node in plan.present()}
            leaving = [node for node in self.plan.present() if node.name not in after]
            if leaving:
                await self._take_out(leaving, say)
            self._keep(plan)
            prepare(self.places, plan, disk=self._disk, clock=self._clock)
            await self.processes.start([n for n in plan.present() if n.name not in before], say)
            self._describe()
            say(f"there {'is 1 ingest node' if count == 1 else f'are {count} ingest nodes'}")

    async def restart(self, say: Say) -> None:
        """Restarts all nodes, one after the other; each is ready and seen before the next goes.

        Raises Unavailable where one did not come back: the others are left as they are.
        """
        async with self._change():
            for node in self.plan.present():
                await self.processes[node.name].stop(STOP_SECONDS)
                await self.processes.start([node], say)
                await self._wait_seen(say)

    async def kill(self, name: str, say: Say, *, disk: bool = False) -> None:
        """kill -9 of a node, which stays down until `revive`; with `disk` its data is deleted.

        Raises SettingsError for a node that is not there.
        """
        async with self._change():
            child = self._child(name)
            await child.kill(for_good=True)
            await child.stop(0)
            if disk:
                await asyncio.to_thread(shutil.rmtree, self.places.data(name), True)
            say(f"{name} was killed{' and its disk is gone' if disk else ''}")

    async def revive(self, name: str, say: Say) -> None:
        """Starts a node that was killed. Raises SettingsError for another, and Unavailable."""
        async with self._change():
            if self._child(name).state is not ProcessState.STOPPED:
                raise SettingsError(f"{name} runs already")
            node = self.plan.node(name)
            assert node is not None
            await self.processes.start([node], say)

    async def stop(self, say: Say) -> bool:
        """Ends everything: writes first, then the ingest nodes, the query nodes, the edge.

        Says whether every process ended as it should.
        """
        self._stopping = True
        if self._changing.locked():
            say("waiting for the change under way; Ctrl-C again ends everything at once")
        async with self._changing:
            say("ending: no new writes; the nodes hand over what they have")
            ingest, query = self.plan.present(Role.INGEST), self.plan.present(Role.QUERY)
            if EDGE in self.processes:
                self._describe(leaving=[node.name for node in ingest])
            well = await self.processes.stop([n.name for n in ingest], STOP_SECONDS, say)
            well &= await self.processes.stop([n.name for n in query], STOP_SECONDS, say)
            if EDGE in self.processes:
                well &= await self.processes.stop([EDGE], EDGE_STOP_SECONDS, say)
            self._close()
            return well

    async def abandon(self) -> None:
        """Ends everything at once: what was acknowledged stays, nobody is waited for."""
        self.say("ending everything at once, as asked")
        await self.processes.kill()
        self._close()

    def announced(self) -> None:
        """Keeps that the admin token was shown: before, each start makes it anew."""
        if not self.plan.announced:
            self._keep(self.plan.model_copy(update={"announced": True}))

    async def status(self) -> Sequence[ProcessStatus]:
        """Returns what there is of each process: nodes in their order, then the edge."""
        members = await asyncio.gather(*(self.nodes.member(n) for n in self.plan.present()))
        found = [
            status_of(self.processes.get(node.name), node, member)
            for node, member in zip(self.plan.present(), members, strict=True)
        ]
        if EDGE in self.processes:
            ready = await self.nodes.ready(self.plan.url)
            found.append(status_of(self.processes[EDGE], None, None, self.plan.url, ready))
        return found

    def _change(self) -> asyncio.Lock:
        if self._changing.locked() or self._stopping:
            raise Unavailable("another change of the fleet is under way", retry_after=5)
        return self._changing

    def _child(self, name: str) -> Child:
        node = self.plan.node(name)
        if node is None or name not in self.processes:
            names = ", ".join(one.name for one in self.plan.present())
            raise SettingsError(f"there is no node {name}: there are {names}")
        return self.processes[name]

    async def _take_out(self, leaving: Sequence[Planned], say: Say) -> None:
        """Ends nodes for good; all that they had must then stand at every query node."""
        names = [node.name for node in leaving]
        say(f"{', '.join(names)}: draining")
        members = await asyncio.gather(*(self.nodes.member(node) for node in leaving))
        had = sizes(members)
        well = await self.processes.stop(names, STOP_SECONDS, say)
        self._keep(self.plan.without(names))
        self._describe()
        self.processes.drop(names)
        if not well or not await self._wait_seen(say, had):
            raise Unavailable(
                f"{', '.join(names)} did not hand over all: their data stays below "
                f"{self.places.folder}, and scaling up brings them back"
            )
        say(f"{', '.join(names)}: gone; {sum(had.values()):,} entries are read from the store")

    async def _wait_seen(self, say: Say, had: Sizes | None = None) -> bool:
        """Waits until the query nodes have what is written now, or what was `had`."""
        wanted = await self.nodes.written(self.plan) if had is None else had
        query = [n for n in self.plan.present(Role.QUERY) if self.processes[n.name].pid is not None]
        waits = (self.nodes.wait_seen(node, wanted, SEEN_SECONDS) for node in query)
        for node, seen in zip(query, results := await asyncio.gather(*waits), strict=True):
            if not seen:
                say(f"{node.name} has not caught up after {SEEN_SECONDS:.0f} s")
        return all(results)

    def _keep(self, plan: Plan) -> None:
        self.plan = plan
        plan.save(self.places.plan, self._disk)

    def _describe(self, leaving: Sequence[str] = ()) -> None:
        if self.plan.edge is not EdgeKind.NONE:
            front.describe(self.plan, self.places, self._disk, leaving)

    def _close(self) -> None:
        if self._nodes is not None:
            self._nodes.close()
        self.processes.close()
