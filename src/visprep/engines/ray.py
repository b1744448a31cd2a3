"""Ray: slices as tasks of a cluster, or of this machine alone. The only file that imports ray, when it is asked for."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from visprep.engines import check_address, joining, sights
from visprep.engines.interrupts import whole
from visprep.engines.local import check_count, cores
from visprep.engines.spreading import Crew, Death
from visprep.engines.working import PAUSE, TRIES, Answer, Order, answer
from visprep.errors import MissingExtra, NodeUnfit, Unreachable

if TYPE_CHECKING:
    from visprep.stores import Store

T = TypeVar("T")

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
#: Seconds without a head after which a cluster is gone.
_SILENCE = 5.0
#: Seconds that leaving a cluster without a head may take.
_LEAVE = 3.0


class Ray(Crew):
    """The engine of a Ray cluster: at `address`, else the one that this process is in already, else one of its own.

    `jobs` are the processors used at most. `tries` and `pause` are those of work that cannot reach the network.
    It is joined, or started, when there is something to do.
    MissingExtra, and UsageError for an address of another kind; Unreachable and NodeUnfit when it is joined.
    """

    name = "ray"

    def __init__(
        self, jobs: int | None = None, address: str | None = None, *, tries: int = TRIES, pause: float = PAUSE
    ) -> None:
        check_count("jobs", jobs)
        check_address(address)
        self.jobs, self._address = jobs, address
        super().__init__(tries=tries, pause=pause)
        self._gone = False
        self._heard = time.monotonic()
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

    def check(self, *stores: Store) -> None:
        """See `Engine`: every node is asked, by a task of its own."""
        self._open()
        question = [sights.Question([sights.of(store) for store in stores])]
        order = Order.of(sights.missed)
        until = time.monotonic() + _PATIENCE
        fit: set[str] = set()
        while asked := {self._ask(id_, order, question): id_ for id_ in self._nodes().keys() - fit}:
            left = max(0.0, until - time.monotonic())
            ended, _ = self._asking(
                functools.partial(self._ray.wait, list(asked), num_returns=len(asked), timeout=left)
            )
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
            joining.leave(cluster, self._shutdown)

    def _shutdown(self) -> None:
        if self._gone:
            _Question(self._ray.shutdown).answered(_LEAVE)
        else:
            self._ray.shutdown()

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @whole
    def _nodes(self) -> dict[str, str]:
        """Those that work: by id, what people call them."""
        return {
            node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeName']})"
            for node in self._asking(self._ray.nodes)
            if node["Alive"] and node["Resources"].get("CPU")
        }

    @whole
    def room(self) -> int:
        """See `Crew`."""
        self._open()
        if self.jobs:
            return self.jobs
        if time.monotonic() - self._looked > _STALE:
            self._cpus = max(1, int(self._asking(self._ray.cluster_resources).get("CPU", 1)))
            self._looked = time.monotonic()
        return _DEPTH * self._cpus

    @whole
    def send(self, order: Order, items: Sequence[Any]) -> Hashable:
        """See `Crew`."""
        if self._orders[0] is not order:
            self._orders = order, self._asking(functools.partial(self._ray.put, order))
        reference: Hashable = self._task.remote(self._orders[1], items)
        return reference

    @whole
    def ended(self, sent: Mapping[Hashable, Any], seconds: float) -> Sequence[tuple[Hashable, Answer | Death]]:
        """See `Crew`."""
        ended, _ = self._ray.wait(list(sent), num_returns=len(sent), timeout=0)
        if not ended:
            ended, _ = self._ray.wait(list(sent), num_returns=1, timeout=seconds)
        if not ended and time.monotonic() - self._heard > _STALE:
            self._listen()
        return [(reference, self._outcome(reference)) for reference in ended]

    def _outcome(self, reference: Any) -> Answer | Death:
        kinds = self._ray.exceptions
        try:
            given: Answer = self._asking(functools.partial(self._ray.get, reference))
        except kinds.WorkerCrashedError:
            return Death("it ended without an answer")
        except kinds.OutOfMemoryError:
            return Death("Ray ended it, since the memory of the node was used up")
        except kinds.RayTaskError as problem:  # before our own code: the node cannot even load it
            return Answer(error=NodeUnfit(_last_line(problem), hint="install the same visprep on every node"))
        except kinds.RayError as problem:  # the node died, or what it held
            self._listen()
            return Death(joining.first_line(problem), of_node=True)
        return given

    def _asking(self, question: Callable[[], T]) -> T:
        """What Ray says to a question for the head; Unreachable when that is gone, of which Ray waits a minute."""
        asked = _Question(question)
        while not asked.answered(_STALE):
            self._listen()
        return asked.answer()

    def _listen(self) -> None:
        """Unreachable when the head of the cluster is gone: Ray would end this process after a minute."""
        address = self._ray.get_runtime_context().gcs_address
        until = time.monotonic() + _SILENCE
        while not self._gone:
            try:
                joining.knock(address)
            except Unreachable:
                self._gone = time.monotonic() > until
                time.sleep(_BREATH)
            else:
                self._heard = time.monotonic()
                return
        raise Unreachable(
            f"the Ray cluster at {address} went away",
            hint="start it anew, then run the same command again: it goes on where this one ended",
        )

    @whole
    def forget(self, sent: Iterable[Hashable]) -> None:
        """See `Crew`."""
        if self._gone:
            return
        left = list(sent)
        for force in (False, True):
            with contextlib.suppress(Exception):  # the cluster may be gone
                for reference in left:
                    self._ray.cancel(reference, force=force)
                # Whoever holds a lock lets go of it when we are through: nobody must write there any more
                _, left = self._ray.wait(left, num_returns=len(left), timeout=_GRACE) if left else ([], [])


class _Question(Generic[T]):
    """A call of Ray that may never come back: in a thread of its own, which nobody waits for at the end."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call, self._given, self._error = call, list[T](), list[Exception]()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._given.append(self._call())
        except Exception as error:
            self._error.append(error)

    def answered(self, seconds: float) -> bool:
        """Whether it came back, within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def answer(self) -> T:
        """What came back."""
        if self._error:
            raise self._error[0]
        return self._given[0]


def _last_line(words: object) -> str:
    return ([line.strip() for line in str(words).splitlines() if line.strip()] or [type(words).__name__])[-1]
