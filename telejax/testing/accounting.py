"""What a method declares and counts, against what happens: messages, gradients, hand-offs."""

from collections import Counter

import jax
import numpy as np

from telejax.algorithms.base import Algorithm, copy_bytes
from telejax.backend.memory import tree_bytes
from telejax.mixing.accounting import sent
from telejax.state import State
from telejax.testing.observe import Exchange, Round
from telejax.testing.trial import ROUNDS, Trial


def messages(trial: Trial) -> None:
    """Messages declared are messages sent and heard, in every round and group."""
    for round, seen in enumerate(trial.observed.rounds):
        whole = trial.heard(round).everything
        for group, slots in enumerate(trial.of_group):
            outside = np.setdiff1d(np.arange(trial.slots), slots)
            assert not whole[np.ix_(outside, slots)].any(), (
                f"group {group} hears another group in round {round}; groups are independent runs side by side"
            )
            where = f"in round {round}" + (f", group {group}" if len(trial.groups) > 1 else "")
            _check_heard(trial, round, group, slots, where)
            if trial.observed.networked:
                _check_exchanges(trial, seen, group, slots, _declared(trial.algorithm, trial.task.nodes, round), where)
            else:
                _check_pairs(trial, round, group, slots, where)


def _declared(algorithm: Algorithm, nodes: int, round: int) -> list[int]:
    """``gossip_messages`` of a round, for each group."""
    return [int(sent(one, np.array([round]))[0]) for one in algorithm.gossip_messages(nodes)]


def _counted(seen: Round, group: int) -> int | None:
    """The counter ``messages`` of a group; None where the method has none."""
    count = seen.info.counters.get("messages")
    return None if count is None else int(np.broadcast_to(np.asarray(count), (group + 1,))[group])


def _total(trial: Trial, round: int, group: int) -> int:
    """Messages of gossip that the history would show."""
    counted = _counted(trial.observed.rounds[round], group) or 0
    return _declared(trial.algorithm, trial.task.nodes, round)[group] + counted


def _check_heard(trial: Trial, round: int, group: int, slots: np.ndarray, where: str) -> None:
    """Nobody hears without a message, and no message is without effect."""
    heard, total = trial.heard(round), _total(trial, round, group)
    pairs = heard.everything[np.ix_(slots, slots)]
    told = f"gossip_messages and the counter messages declare {total} {where}"
    assert total == 0 or len(slots) == 1 or pairs.any(), (
        f"{told}, and no slot hears another; declare 0, or use what was sent"
    )
    if _counted(trial.observed.rounds[round], group) is None:
        assert total or not pairs.any(), f"{told}, and {pairs.sum()} slots hear others; declare what is sent"
        return
    declared = _declared(trial.algorithm, trial.task.nodes, round)[group]
    for slot, reached in zip(slots, pairs.sum(axis=1), strict=True):
        known = declared + int(heard.counted[slot, group])
        assert known >= reached, (
            f"the counter messages knows of {known} {where} where slot {slot} moved and {reached} others heard of it; "
            "count every message"
        )


def _check_pairs(trial: Trial, round: int, group: int, slots: np.ndarray, where: str) -> None:
    """Without a network: a message for each pair of slots that hears, or those of a mean in the middle."""
    heard, seen, total = trial.heard(round), trial.observed.rounds[round], _total(trial, round, group)
    everybody = len(slots) * (len(slots) - 1)
    pairs = {int(one[np.ix_(slots, slots)].sum()) for one in (heard.parameters, heard.everything)}
    once = pairs | ({2 * (len(slots) - 1), 2 * len(slots)} if everybody in pairs else set())
    exchanges = max(1, _held_bytes(seen.before) // max(1, trial.algorithm.copy_bytes(seen.before)))
    fits = (
        total <= exchanges * max(once)
        if _counted(seen, group) is not None
        else any(total == times * one for one in once for times in range(1, exchanges + 1))
    )
    assert fits, (
        f"gossip_messages and the counter messages declare {total} {where}, and {max(pairs)} pairs of slots hear one "
        f"another; declare {' or '.join(map(str, sorted(once)))}, one count for each round of the period"
    )


def _held_bytes(state: State) -> int:
    """Bytes that one slot and its node could send: parameters and all memory."""
    memory = state.memory
    return copy_bytes((state.params, memory.slot, memory.node)) + sum(map(tree_bytes, jax.tree.leaves(memory.common)))


def _check_exchanges(trial: Trial, seen: Round, group: int, slots: np.ndarray, declared: list[int], where: str) -> None:
    """With a network: bytes declared are those of its exchanges, and who hears is who was sent something."""
    counted = _counted(seen, group)
    declared_bytes = (declared[group] + (counted or 0)) * trial.algorithm.copy_bytes(seen.before)
    sent_bytes = sum(_messages(one, slots) * one.message_bytes for one in seen.exchanges)
    fits = declared_bytes <= sent_bytes if counted is not None else declared_bytes == sent_bytes
    assert fits, (
        f"gossip_messages and the counter messages declare {declared[group] + (counted or 0)} of copy_bytes {where}, "
        f"{declared_bytes} bytes, and network.gossip sent "
        f"{' + '.join(f'{_messages(one, slots)} of {one.message_bytes}' for one in seen.exchanges) or 'nothing'}; "
        "declare what is sent in each round of the period, and send it by network.gossip"
    )
    heard = trial.heard(int(seen.before.round))
    parameters, everything = (one[np.ix_(slots, slots)] for one in (heard.parameters, heard.everything))
    told, reached = np.zeros_like(everything), np.eye(len(slots), dtype=bool)
    for one in seen.exchanges:
        pairs = one.pairs[np.ix_(slots, slots)]
        told |= pairs
        reached |= reached @ pairs
    ignored = np.argwhere(told & ~everything)
    assert not len(ignored), (
        f"slot {slots[ignored[0][1]]} is sent a message by {slots[ignored[0][0]]} {where} and does not change with it; "
        "use the parameters that network.gossip returns"
    )
    # what a slot remembers of what it was sent may be kept at its sender, whose neighbours then hear it, too
    unsent = np.argwhere((parameters & ~reached) | (everything & ~(reached @ reached)))
    assert not len(unsent), (
        f"slot {slots[unsent[0][1]]} hears {slots[unsent[0][0]]} {where} without a message of network.gossip; "
        "send by network.gossip alone"
    )


def _messages(exchange: Exchange, slots: np.ndarray) -> int:
    """Messages of an exchange to these slots."""
    return int(exchange.pairs[:, slots].sum()) if exchange.collective is None else exchange.collective


def gradients(trial: Trial) -> None:
    """Gradients declared are gradients computed, at the nodes that hold slots."""
    algorithm, nodes = trial.algorithm, trial.task.nodes
    first, declared = sum(algorithm.first_gradients(nodes)), sum(algorithm.gradients(nodes))
    taken = len(trial.observed.first_gradients)
    assert taken == first, (
        f"start takes {taken} gradients, and first_gradients declares {first}; declare those of start"
    )
    for round, seen in enumerate(trial.observed.rounds):
        count, holders = len(seen.gradients), np.asarray(seen.info.holders).tolist()
        assert count == declared, (
            f"{count} gradients are taken in round {round}, and gradients declares {declared}; declare those of a round"
        )
        strangers = sorted(set(seen.gradients) - set(holders))
        assert not strangers, f"round {round} takes gradients at {strangers}, which hold no slot; take holders' data"
        if count % len(holders) == 0:
            steps = count // len(holders)
            assert Counter(seen.gradients) == Counter(holders * steps), (
                f"round {round} takes gradients at {sorted(seen.gradients)}, and its holders are {sorted(holders)}; "
                f"take {steps} at the holder of each slot"
            )


def handoffs(trial: Trial) -> None:
    """Every slot that changes hands is counted, unless its node fetches the model that a server gives to all."""
    algorithm, total, moving = trial.algorithm, 0, False
    for round, seen in enumerate(trial.observed.rounds):
        changed = np.asarray(seen.before.holders) != np.asarray(seen.info.holders)
        moved = [int(changed[slots].sum()) if round else 0 for slots in trial.of_group]
        moving |= any(moved)
        if "handoffs" not in seen.info.counters:
            continue
        counted = np.broadcast_to(np.asarray(seen.info.counters["handoffs"]), len(moved)).tolist()
        total += sum(counted)
        assert counted == moved, (
            f"the counter handoffs is {counted} in round {round}, and {moved} slots have another holder than before; "
            "count the slots that network.hand_off says have moved"
        )
        for one in seen.handoffs:
            declared = algorithm.handoff_bytes(seen.before)
            assert one.message_bytes == declared, (
                f"network.hand_off was given messages of {one.message_bytes} bytes, and handoff_bytes is {declared}; "
                "give self.handoff_bytes(state)"
            )
    silent = not any("handoffs" in seen.info.counters for seen in trial.observed.rounds)
    assert not (moving and silent) or _served(trial), (
        "slots change hands and there is no counter handoffs; network.report(state, handoffs=moved) counts them, or "
        "let every slot end its round with the model of a server, at 2 messages a slot"
    )
    state = trial.observed.rounds[0].before
    sends = any(_total(trial, round, group) for round in range(ROUNDS) for group in range(len(trial.groups)))
    for name, needed in (("copy_bytes", sends), ("handoff_bytes", total > 0)):
        size = getattr(algorithm, name)(state)
        whole = isinstance(size, int | np.integer) and size > 0
        assert whole or not needed, f"{name} is {size!r}, and messages are sent; give the bytes of one, an integer"


def _served(trial: Trial) -> bool:
    """Whether each round ends with a mean over a server, from which its next holders fetch the slots.

    Without a network: where all slots of a group end equal and as many copies are declared, to and from the server.
    """
    if trial.observed.networked:
        servers = [[one.collective == 2 * trial.slots for one in seen.exchanges] for seen in trial.observed.rounds]
        return all(map(any, servers))
    for round, seen in enumerate(trial.observed.rounds):
        for group, slots in enumerate(trial.of_group):
            for leaf in map(np.asarray, jax.tree.leaves(seen.after.params)):
                if not np.allclose(leaf[slots], leaf[slots[:1]], rtol=1e-5, atol=1e-6):
                    return False
            if _total(trial, round, group) < 2 * len(slots):
                return False
    return True
