"""Simulated time again, in plain Python: slots, nodes and messages that react to events, taken from a heap.

Nothing is computed round by round and no formula says when a round ends, so that nothing of telejax's own recursion
over rounds is repeated here. Who holds what, what is lost and what fails is given; when it happens is worked out anew.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, count


@dataclass(frozen=True)
class Message:
    """Gossip from slot to slot; a lost one is sent, but never arrives."""

    sender: int
    receiver: int
    lost: bool = False


@dataclass(frozen=True)
class Round:
    """One entry for each slot, and the messages of slots that are not idle.

    A slot that moved is fetched from the holder of the round before; retries fail first. Delays end the computing.
    """

    holders: list[int]
    moved: list[bool]
    retries: list[int]
    seconds: list[float]
    messages: list[Message]
    delays: list[float]


@dataclass(frozen=True)
class World:
    """The nodes and links, and how long slots wait: for all of them ("barrier") or their messages ("neighbours")."""

    latency: Callable[[int, int], float]
    bandwidth: Callable[[int, int], float]
    uplink: Callable[[int], float]
    fetch_bytes: float
    message_bytes: float
    waiting: str
    contention: bool
    timeout: float


@dataclass(frozen=True)
class Duty:
    """One slot in one round, and when."""

    round: int
    slot: int
    holder: int
    asked: float
    started: float
    computed: float
    ended: float


@dataclass(eq=False)
class _Task:
    """A duty under way: messages that will arrive but have not, and its times, which become known one by one."""

    round: int
    slot: int
    holder: int
    missing: int = 0
    fetched: bool = False
    times: dict[str, float] = field(default_factory=dict)


class _Simulation:
    """Each node has a queue of duties, in order of rounds and then slots, and those started there but not ended."""

    def __init__(self, world: World, rounds: Sequence[Round]) -> None:
        self.world, self.rounds, self.now = world, rounds, 0.0
        self.heap: list[tuple[float, int, Callable[[_Task], None], _Task]] = []
        self.ties = count()
        self.queues: defaultdict[int, deque[_Task]] = defaultdict(deque)
        self.unended: defaultdict[int, list[_Task]] = defaultdict(list)
        self.tasks = [[_Task(number, *each) for each in enumerate(plan.holders)] for number, plan in enumerate(rounds)]
        for task in chain(*self.tasks):
            messages = rounds[task.round].messages
            task.missing = sum(message.receiver == task.slot and not message.lost for message in messages)
            self.queues[task.holder].append(task)

    def run(self) -> None:
        for task in chain(*self.tasks[:1]):
            self.ask(task)
        while self.heap:
            self.now, _, react, task = heappop(self.heap)
            react(task)

    def at(self, time: float, react: Callable[[_Task], None], task: _Task) -> None:
        heappush(self.heap, (time, next(self.ties), react, task))

    def ask(self, task: _Task) -> None:
        """The slot's round begins: its model is here, or sets out for here."""
        world, plan, slot, arrival = self.world, self.rounds[task.round], task.slot, self.now
        task.times["asked"] = self.now
        if plan.moved[slot]:
            old, new = self.rounds[task.round - 1].holders[slot], task.holder
            arrival += plan.retries[slot] * world.timeout + world.latency(old, new)
            arrival += world.fetch_bytes / world.bandwidth(old, new)
        self.at(arrival, self.fetch, task)

    def fetch(self, task: _Task) -> None:
        task.fetched = True
        self.start(task.holder)

    def start(self, holder: int) -> None:
        """The node starts its next duty, if the rounds before it have ended here and the slots before it computed."""
        queue, unended = self.queues[holder], self.unended[holder]
        if queue and queue[0].fetched:
            task, plan = queue[0], self.rounds[queue[0].round]
            if all(other.round == task.round and "computed" in other.times for other in unended):
                unended.append(queue.popleft())
                task.times["started"] = self.now
                self.at(self.now + plan.seconds[task.slot] + plan.delays[task.slot], self.compute, task)

    def compute(self, task: _Task) -> None:
        """Computing is over: the messages leave, and the node may turn to its next slot of the round."""
        world, plan = self.world, self.rounds[task.round]
        task.times["computed"] = self.now
        messages = [message for message in plan.messages if message.sender == task.slot]
        for place, message in enumerate(sorted(messages, key=lambda message: message.receiver)):
            receiver = self.tasks[task.round][message.receiver]
            link = task.holder, receiver.holder
            queued = place * world.message_bytes / world.uplink(task.holder) if world.contention else 0.0
            if not message.lost:
                travel = world.latency(*link) + world.message_bytes / world.bandwidth(*link)
                self.at(self.now + queued + travel, self.receive, receiver)
        self.end(task)
        self.start(task.holder)

    def receive(self, task: _Task) -> None:
        task.missing -= 1
        self.end(task)

    def end(self, task: _Task) -> None:
        """End the round of this slot, or of all slots together, if nothing is waited for any more."""
        tasks = self.tasks[task.round] if self.world.waiting == "barrier" else [task]
        if any("computed" not in each.times or each.missing > 0 for each in tasks):
            return
        for each in tasks:
            each.times["ended"] = self.now
            self.unended[each.holder].remove(each)
            if each.round + 1 < len(self.rounds):
                self.ask(self.tasks[each.round + 1][each.slot])
        for each in tasks:
            self.start(each.holder)


def run(world: World, rounds: Sequence[Round]) -> list[Duty]:
    """All duties, in order of rounds and then slots."""
    if world.waiting not in ("barrier", "neighbours"):
        raise ValueError(f"waiting must be 'barrier' or 'neighbours', not {world.waiting!r}")
    if rounds and any(rounds[0].moved):
        raise ValueError("nothing can be fetched in the first round: there is no holder before it")
    simulation = _Simulation(world, rounds)
    simulation.run()
    return [Duty(task.round, task.slot, task.holder, **task.times) for task in chain(*simulation.tasks)]
