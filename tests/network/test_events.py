"""The event-driven reference of simulated time is right itself: worked out by hand, and against its fixed point."""

import itertools
import random
from collections.abc import Iterator, Sequence

import pytest
from network import events
from network.events import Duty, Message, Round, World


def world(waiting: str = "neighbours", contention: bool = False) -> World:
    """Links of 1 s and 10 bytes/s, uplinks of 5 bytes/s: a message of 20 bytes takes 1 + 2 s, a fetch of 40 1 + 4."""
    return World(
        latency=lambda sender, receiver: 1.0,
        bandwidth=lambda sender, receiver: 10.0,
        uplink=lambda node: 5.0,
        fetch_bytes=40.0,
        message_bytes=20.0,
        waiting=waiting,
        contention=contention,
        timeout=7.0,
    )


def turn(
    holders: list[int],
    seconds: list[float],
    messages: Sequence[Message] = (),
    retries: dict[int, int] | None = None,
    delays: list[float] | None = None,
) -> Round:
    """A round; retries are those of the slots that move."""
    slots, retries = range(len(holders)), retries or {}
    return Round(
        holders=holders,
        moved=[slot in retries for slot in slots],
        retries=[retries.get(slot, 0) for slot in slots],
        seconds=seconds,
        messages=list(messages),
        delays=delays or [0.0 for _ in slots],
    )


def exchange(*pairs: tuple[int, int]) -> list[Message]:
    return [Message(*pair) for pair in pairs]


def times(duties: list[Duty]) -> list[tuple[float, float, float, float]]:
    return [(duty.asked, duty.started, duty.computed, duty.ended) for duty in duties]


def test_a_single_slot_computes_round_after_round() -> None:
    duties = events.run(world(), [turn([4], [2.0]), turn([4], [3.0], delays=[0.5])])
    # 0 + 2 = 2; then 2 + 3 + 0.5 = 5.5.
    assert duties == [Duty(0, 0, 4, 0.0, 0.0, 2.0, 2.0), Duty(1, 0, 4, 2.0, 2.0, 5.5, 5.5)]
    assert events.run(world(), []) == []


def test_two_slots_wait_for_each_others_message() -> None:
    duties = events.run(world(), [turn([0, 1], [1.0, 6.0], exchange((0, 1), (1, 0)))])
    # Computed at 1 and 6; messages arrive at 1 + 3 = 4, before slot 1 has computed, and at 6 + 3 = 9.
    assert times(duties) == [(0.0, 0.0, 1.0, 9.0), (0.0, 0.0, 6.0, 6.0)]


def test_a_message_of_a_later_round_is_kept_for_it() -> None:
    rounds = [turn([0, 1], [1.0, 9.0]), turn([0, 1], [1.0, 1.0], exchange((0, 1)))]
    # Slot 0 sends at 2, which arrives at 5, when slot 1 is still in its first round: that ends at 9, the next at 10.
    assert times(events.run(world(), rounds))[1::2] == [(0.0, 0.0, 9.0, 9.0), (9.0, 9.0, 10.0, 10.0)]


def test_messages_leave_an_uplink_in_order_of_their_receivers() -> None:
    sent = [Message(0, 3), Message(0, 2, lost=True), Message(0, 1)]
    plan = turn([0, 1, 2, 3], [1.0, 0.0, 0.0, 0.0], sent)
    # All leave at 1 and take 3; that to slot 2 is lost.
    assert [duty.ended for duty in events.run(world(), [plan])] == [1.0, 4.0, 0.0, 4.0]
    # The uplink takes 20 / 5 = 4 for each, the lost one too: to slot 1 at 1, to 2 at 5, to 3 at 9, which takes 3.
    assert [duty.ended for duty in events.run(world(contention=True), [plan])] == [1.0, 4.0, 0.0, 12.0]


def test_nobody_waits_for_a_lost_message() -> None:
    messages = [Message(0, 1, lost=True), Message(2, 1)]
    # Slot 1 needs only the message of slot 2, of 2 + 3 = 5, not that of slot 0, which would arrive at 8 + 3 = 11.
    duties = events.run(world(), [turn([0, 1, 2], [8.0, 1.0, 2.0], messages)])
    assert [duty.ended for duty in duties] == [8.0, 5.0, 2.0]


def test_a_barrier_holds_all_slots_and_neighbours_only_theirs() -> None:
    rounds = [turn([0, 1, 2], [1.0, 2.0, 9.0], exchange((0, 1), (1, 0)))] * 2
    # Slots 0 and 1 have their messages at 5 and 4, slot 2 has computed at 9.
    # Neighbours: slot 0 computes from 5 to 6 and slot 1 from 4 to 6, both messages arrive at 9; slot 2 ends at 18.
    alone = [(0.0, 0.0, 1.0, 5.0), (0.0, 0.0, 2.0, 4.0), (0.0, 0.0, 9.0, 9.0)]
    assert times(events.run(world(), rounds)) == [
        *alone,
        (5.0, 5.0, 6.0, 9.0),
        (4.0, 4.0, 6.0, 9.0),
        (9.0, 9.0, 18.0, 18.0),
    ]
    # Barrier: all end at 9, and the second round is the first again, 9 later.
    together = [(0.0, 0.0, 1.0, 9.0), (0.0, 0.0, 2.0, 9.0), (0.0, 0.0, 9.0, 9.0)]
    later = [(9.0, 9.0, 10.0, 18.0), (9.0, 9.0, 11.0, 18.0), (9.0, 9.0, 18.0, 18.0)]
    assert times(events.run(world("barrier"), rounds)) == together + later


def test_a_fetch_takes_a_timeout_for_every_retry() -> None:
    rounds = [turn([0, 1], [1.0, 1.0]), turn([2, 3], [1.0, 1.0], retries={0: 2, 1: 0})]
    # Asked at 1; arrival at 1 + 2 * 7 + 1 + 40 / 10 = 20 and at 1 + 5 = 6.
    assert times(events.run(world(), rounds))[2:] == [(1.0, 20.0, 21.0, 21.0), (1.0, 6.0, 7.0, 7.0)]


def test_links_are_those_of_the_nodes_in_their_direction() -> None:
    links = World(
        latency=lambda sender, receiver: sender + 0.1 * receiver,
        bandwidth=lambda sender, receiver: 10.0 * (1 + sender),
        uplink=lambda node: float(node),
        fetch_bytes=60.0,
        message_bytes=120.0,
        waiting="neighbours",
        contention=True,
        timeout=0.0,
    )
    rounds = [turn([5, 1, 3], [1.0, 0.0, 0.0]), turn([2, 1, 3], [1.0, 0.0, 0.0], exchange((0, 1), (0, 2)), {0: 0})]
    ended = [duty.ended for duty in events.run(links, rounds)[3:]]
    # Fetched from node 5 by node 2: 1 + 5.2 + 60 / 60 = 7.2, computed at 8.2. From node 2 to node 1: 8.2 + 2.1 +
    # 120 / 30 = 14.3. To node 3, after 120 / 2 = 60 of node 2's uplink: 68.2 + 2.3 + 4 = 74.5.
    assert ended == pytest.approx([8.2, 14.3, 74.5])


def test_a_holder_busy_with_another_slot_is_waited_for() -> None:
    rounds = [
        turn([0, 1, 2], [1.0, 4.0, 6.0], exchange((2, 1))),
        turn([1, 3, 2], [1.0, 1.0, 1.0], retries={0: 0, 1: 0}),
    ]
    # Slot 0 goes on to node 1, asked at 1 and there at 1 + 5 = 6. Node 1 has computed slot 1 at 4, but waits for the
    # message of slot 2 until 6 + 3 = 9. Slot 1 itself goes on to node 3, there at 9 + 5 = 14.
    assert times(events.run(world(), rounds)) == [
        (0.0, 0.0, 1.0, 1.0),
        (0.0, 0.0, 4.0, 9.0),
        (0.0, 0.0, 6.0, 6.0),
        (1.0, 9.0, 10.0, 10.0),
        (9.0, 14.0, 15.0, 15.0),
        (6.0, 6.0, 7.0, 7.0),
    ]


def test_a_later_round_waits_for_a_duty_that_has_not_begun() -> None:
    rounds = [
        turn([0, 1], [1.0, 9.0]),
        turn([0, 2], [1.0, 1.0], retries={1: 0}),
        turn([2, 2], [1.0, 1.0], retries={0: 0}),
    ]
    # Slot 0 is at node 2 at 2 + 5 = 7 for round 2, but node 2 first has round 1 of slot 1, from 9 + 5 = 14 to 15. Then
    # it computes round 2 of slot 0 until 16 and that of slot 1, which was asked at 15, until 17.
    assert times(events.run(world(), rounds))[3:] == [
        (9.0, 14.0, 15.0, 15.0),
        (2.0, 15.0, 16.0, 16.0),
        (15.0, 16.0, 17.0, 17.0),
    ]


def test_a_node_with_two_slots_in_a_round_computes_one_after_the_other() -> None:
    rounds = [turn([0, 0, 1], [2.0, 3.0, 4.0], exchange((1, 0), (2, 0))), turn([0, 0, 1], [1.0, 1.0, 1.0])]
    # Slot 1 starts when slot 0 has computed, 2, and is done at 5; slot 0 has its messages at 5 + 3 = 8 and 4 + 3 = 7.
    # Node 0 has ended the round when slot 0 has, at 8; then slot 1, asked at 5, waits for slot 0 again.
    assert times(events.run(world(), rounds)) == [
        (0.0, 0.0, 2.0, 8.0),
        (0.0, 2.0, 5.0, 5.0),
        (0.0, 0.0, 4.0, 4.0),
        (8.0, 8.0, 9.0, 9.0),
        (5.0, 9.0, 10.0, 10.0),
        (4.0, 4.0, 5.0, 5.0),
    ]


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(ValueError, match="waiting must be"):
        events.run(world("nobody"), [turn([0], [1.0])])
    with pytest.raises(ValueError, match="first round"):
        events.run(world(), [turn([0], [1.0], retries={0: 0})])


def random_world(seed: int) -> tuple[World, list[Round]]:
    """Up to 6 slots among barely more nodes; all times are small whole numbers, so that many are equal."""
    draw = random.Random(seed)
    slots = draw.randint(1, 6)
    nodes = range(slots - slots // 3 + draw.randint(0, 2))
    delay = {link: float(draw.randint(0, 3)) for link in itertools.product(nodes, nodes)}
    speed = {link: draw.choice([1.0, 2.0, 4.0]) for link in itertools.product(nodes, nodes)}
    up = {node: draw.choice([1.0, 2.0, 4.0]) for node in nodes}
    rounds: list[Round] = []
    for _ in range(12):
        holders = [draw.choice(nodes) for _ in range(slots)]
        before = rounds[-1].holders if rounds else holders
        pairs = [pair for pair in itertools.permutations(range(slots), 2) if draw.random() < 0.4]
        moves = {slot: draw.choice([0, 0, 1, 2]) for slot in range(slots) if holders[slot] != before[slot]}
        draw.shuffle(pairs)
        messages = [Message(*pair, lost=draw.random() < 0.2) for pair in pairs]
        seconds = [float(draw.randint(0, 4)) for _ in range(slots)]
        rounds.append(turn(holders, seconds, messages, moves, [draw.choice([0.0, 0.0, 5.0]) for _ in range(slots)]))
    return World(
        latency=lambda sender, receiver: delay[sender, receiver],
        bandwidth=lambda sender, receiver: speed[sender, receiver],
        uplink=lambda node: up[node],
        fetch_bytes=8.0,
        message_bytes=4.0,
        waiting=["barrier", "neighbours", "neighbours", "neighbours"][seed % 4],
        contention=seed % 3 > 0,
        timeout=3.0,
    ), rounds


def fixed_point(given: World, rounds: list[Round]) -> list[Duty]:
    """All times at once: from 0, every one is raised to what the others demand, until none changes."""
    keys = [(number, slot) for number, plan in enumerate(rounds) for slot in range(len(plan.holders))]
    holder = {(number, slot): rounds[number].holders[slot] for number, slot in keys}
    asked, started, computed, ended = (dict.fromkeys(keys, 0.0) for _ in range(4))

    def must_precede(number: int, slot: int) -> Iterator[float]:
        for other in keys:
            if holder[other] == holder[number, slot]:
                if other[0] < number:
                    yield ended[other]
                elif other[0] == number and other[1] < slot:
                    yield computed[other]

    def fetched(number: int, slot: int) -> float:
        if not rounds[number].moved[slot]:
            return asked[number, slot]
        link = holder[number - 1, slot], holder[number, slot]
        wait = rounds[number].retries[slot] * given.timeout
        return asked[number, slot] + wait + given.latency(*link) + given.fetch_bytes / given.bandwidth(*link)

    def arrivals(number: int, slot: int) -> Iterator[float]:
        for message in rounds[number].messages:
            if message.receiver == slot and not message.lost:
                source = number, message.sender
                first = sum(o.sender == message.sender and o.receiver < slot for o in rounds[number].messages)
                leaves = computed[source] + given.contention * first * given.message_bytes / given.uplink(
                    holder[source]
                )
                link = holder[source], holder[number, slot]
                yield leaves + given.latency(*link) + given.message_bytes / given.bandwidth(*link)

    def ready(number: int, slot: int) -> float:
        return max([computed[number, slot], *arrivals(number, slot)])

    while True:
        before = [dict(known) for known in (asked, started, computed, ended)]
        for number, slot in reversed(keys):
            key, plan = (number, slot), rounds[number]
            together = range(len(plan.holders)) if given.waiting == "barrier" else [slot]
            ended[key] = max(ready(number, each) for each in together)
            computed[key] = started[key] + plan.seconds[slot] + plan.delays[slot]
            started[key] = max([fetched(number, slot), *must_precede(number, slot)])
            asked[key] = ended[number - 1, slot] if number else 0.0
        if before == [asked, started, computed, ended]:
            return [Duty(*key, holder[key], asked[key], started[key], computed[key], ended[key]) for key in keys]


@pytest.mark.parametrize("seed", range(20))
def test_random_worlds_end_at_the_fixed_point_whatever_the_order_of_equal_times(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, rounds = random_world(seed)
    duties = events.run(given, rounds)
    assert duties == fixed_point(given, rounds)
    monkeypatch.setattr(events, "count", lambda: itertools.count(0, -1))
    assert events.run(given, rounds) == duties


def test_slots_of_random_worlds_meet_at_a_node_in_different_rounds() -> None:
    """Else the random worlds would not show that a later round waits."""
    held_up = 0
    for duties in (events.run(*random_world(seed)) for seed in range(20)):
        for duty, other in itertools.permutations(duties, 2):
            if duty.slot != other.slot and duty.holder == other.holder and duty.round > other.round:
                held_up += duty.asked < duty.started == other.ended
    assert held_up > 40
