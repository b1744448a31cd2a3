"""Ray: slices as tasks of a cluster, or of this machine alone. The only file that imports ray, when it is asked for."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from visprep.engines import joining, sights
from visprep.engines.interrupts import whole
from visprep.engines.local import check_count, cores
from visprep.engines.spreading import Death, spread
from visprep.engines.working import PAUSE, TRIES, Answer, Order, answer
from visprep.errors import MissingExtra, NodeUnfit, UsageError, WorkerLost

if TYPE_CHECKING:
    from visprep.stores import Store

A = TypeVar("A")
B = TypeVar("B")

#: Slices that are under way for each processor: the next is there when one ends.
_DEPTH = 2
#: Seconds for which the number of processors of a cluster counts: nodes come and go.
_STALE = 2.0
#: Seconds that a node has to say what it sees.
_PATIENCE = 60.0
#: Seconds after which a node that could not be asked is asked again.
_BREATH = 0.2
#: Seconds that tasks have to leave nothing half done, once they are cancelled.
_GRACE = 3.0
_ADDRESS = re.compile(r"[^/\s]+:\d{1,5}")


class Ray:
    """The engine of a Ray cluster: at `address`, else the one that this process is in already, else one of its own.

    `jobs` are the processors used at most. `tries` and `pause` are those of work that cannot reach the network.
    It is joined, or started, when there is something to do.
    MissingExtra, and UsageError for an address of another kind; Unreachable and NodeUnfit when it is joined.
    """

    name = "ray"
    spreads = True

    def __init__(
        self, jobs: int | None = None, address: str | None = None, *, tries: int = TRIES, pause: float = PAUSE
    ) -> None:
        check_count("jobs", jobs)
        if address is not None and address != "auto" and not _ADDRESS.fullmatch(address):
            raise UsageError(
                f"--ray-address {address}: not HOST:PORT", hint="run visprep on a node of the cluster, with HOST:PORT"
            )
        self.jobs, self._address = jobs, address
        self._tries, self._pause = tries, pause
        self._cpus, self._looked = 0, -_STALE
        self._orders: tuple[Order | None, Any] = (None, None)
        if importlib.util.find_spec("ray") is None:
            raise MissingExtra("--engine ray", "ray")
        self._cluster: joining.Cluster | None = None
        self._ray: Any = None

    @whole
    def _open(self) -> None:
        """Be in a cluster."""
        if self._cluster is not None:
            return
        self._cluster = joining.enter(self._address, self.jobs or cores())
        self._ray = self._cluster.ray
        self._task = self._ray.remote(max_retries=0, num_cpus=1, scheduling_strategy="SPREAD")(answer)

    def map(
        self,
        work: Callable[[Sequence[A]], Sequence[B]],
        slices: Iterable[Sequence[A]],
        *,
        lost: Callable[[A, WorkerLost], B],
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[Sequence[B]]:
        """See `Engine`."""
        return spread(self, Order.of(work, self._tries, self._pause), slices, lost, meanwhile)

    def check(self, *stores: Store) -> None:
        """See `Engine`: every node is asked, by a task of its own."""
        self._open()
        question = [sights.Question([sights.of(store) for store in stores])]
        order = Order.of(sights.missed)
        until = time.monotonic() + _PATIENCE
        fit: set[str] = set()
        while asked := {self._ask(id_, order, question): id_ for id_ in self._nodes().keys() - fit}:
            ended, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=max(0.0, until - time.monotonic()))
            fit.update(asked[reference] for reference in ended if self._told(asked[reference], reference))
            if time.monotonic() > until and (silent := self._nodes().keys() - fit):
                node = self._nodes()[silent.pop()]
                raise NodeUnfit(f"node {node} does not answer", hint="see to it, or take it out of the cluster")
        if not fit:
            raise NodeUnfit("no node of the cluster has a processor", hint=joining.START)

    @whole
    def _ask(self, node: str, order: Order, question: Sequence[Any]) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        return self._task.options(num_cpus=0, scheduling_strategy=there).remote(order, question)

    @whole
    def _told(self, node: str, reference: Any) -> bool:
        """Whether a node said that it is fit; NodeUnfit where it said that it is not, or cannot even say so.

        One that is gone, or so new that the others have not heard of it, says nothing.
        """
        name = f"node {self._nodes().get(node, node)}"
        kinds = self._ray.exceptions
        try:
            given: Answer = self._ray.get(reference)
        except (kinds.TaskUnschedulableError, kinds.NodeDiedError, kinds.WorkerCrashedError):
            time.sleep(_BREATH)
            return False
        except kinds.RayError as problem:
            if "No module named" in (words := str(problem)):
                raise NodeUnfit(
                    f"{name}: visprep is not installed there", hint="install the same visprep on every node"
                ) from None
            raise NodeUnfit(f"{name}: {joining.first_line(words)}", hint="see to the node") from None
        if isinstance(given.error, NodeUnfit):
            raise NodeUnfit(f"{name}: {given.error.message.partition(': ')[2]}", hint=given.error.hint)
        for missed in given.taken():
            if missed:
                raise NodeUnfit(f"{name}: {missed}", hint=sights.HINT)
        return True

    @whole
    def close(self) -> None:
        """End what is under way; leave the cluster, which ends with it when it is ours."""
        cluster, self._cluster, self._orders = self._cluster, None, (None, None)
        if cluster is not None:
            joining.leave(cluster, self._ray.shutdown)

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @whole
    def _nodes(self) -> dict[str, str]:
        """Those that work: by id, what people call them."""
        return {
            node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeName']})"
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        }

    @whole
    def room(self) -> int:
        """See `Crew`."""
        self._open()
        if self.jobs:
            return self.jobs
        if time.monotonic() - self._looked > _STALE:
            self._cpus = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
            self._looked = time.monotonic()
        return _DEPTH * self._cpus

    @whole
    def send(self, order: Order, items: Sequence[Any]) -> Hashable:
        """See `Crew`."""
        if self._orders[0] is not order:
            self._orders = order, self._ray.put(order)
        reference: Hashable = self._task.remote(self._orders[1], items)
        return reference

    @whole
    def ended(self, sent: Mapping[Hashable, Any], seconds: float) -> Sequence[tuple[Hashable, Answer | Death]]:
        """See `Crew`."""
        ended, _ = self._ray.wait(list(sent), num_returns=len(sent), timeout=0)
        if not ended:
            ended, _ = self._ray.wait(list(sent), num_returns=1, timeout=seconds)
        return [(reference, self._outcome(reference)) for reference in ended]

    def _outcome(self, reference: Any) -> Answer | Death:
        kinds = self._ray.exceptions
        try:
            given: Answer = self._ray.get(reference)
        except kinds.WorkerCrashedError:
            return Death("it ended without an answer")
        except kinds.OutOfMemoryError:
            return Death("Ray ended it, since the memory of the node was used up")
        except kinds.RayTaskError as problem:  # before our own code: the node cannot even load it
            return Answer(error=NodeUnfit(_last_line(problem), hint="install the same visprep on every node"))
        except kinds.RayError as problem:  # the node died, or what it held
            return Death(joining.first_line(problem), of_node=True)
        return given

    @whole
    def forget(self, sent: Iterable[Hashable]) -> None:
        """See `Crew`."""
        left = list(sent)
        for force in (False, True):
            with contextlib.suppress(Exception):  # the cluster may be gone
                for reference in left:
                    self._ray.cancel(reference, force=force)
                # Whoever holds a lock lets go of it when we are through: nobody must write there any more
                _, left = self._ray.wait(left, num_returns=len(left), timeout=_GRACE) if left else ([], [])


def _last_line(words: object) -> str:
    return ([line.strip() for line in str(words).splitlines() if line.strip()] or [type(words).__name__])[-1]
