"""When :func:`telejax.auto` drops candidates, settles on one, and opens the search again.

The candidates run side by side (:mod:`telejax.algorithms.joint`). After every window of rounds, with o_k the mean
of candidate k's objective over the later half of the search so far::

    near = {k : o_k - e <= (1 + tolerance) min o}
    while the lowest objective falls: of those below the leader, keep near and the better half        halve
    once it has stopped falling: keep min {k : o_k + e <= (1 + tolerance) o_j for all j > k}      promote

with e the standard error of the difference: in doubt the larger candidate, which costs gradients alone. Larger ones
than the leader stay until then, for while all fall alike a smaller one leads by luck.

The survivors keep their parameters, so that the search costs gradients but no rounds. Whenever the objective of
the winner stalls, the next larger candidates start from its parameters beside it: that opens the search again,
less and less often while its answer stays the same. Where there is no room for both, the next larger one is on
trial alone until it falls no more; a leader that is the largest only for want of room does not wait for a stall, and
neither does a largest one that would be promoted when the last halving is due.
This goes past the paper, whose Algorithm 2 runs all candidates to the end, and at most two passes of them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from telejax.algorithms.joint import JointTeleportation, joint_teleportation
from telejax.optimizers import FixedOptimizer, Optimizer
from telejax.studies.search.candidates import OBJECTIVES, passes
from telejax.topology import TopologyLike

WINDOWS = 16  # decisions a run: shorter windows are noisier, longer ones decide later
FIRST_SEARCH = 6  # windows before the first search may settle
HALVE_AT = (2, 4, 8)  # windows, as in successive halving: every stretch is as long as all before it
NEXT_SEARCH = 3  # windows of a search that was opened again
BATCHES = 4  # of a stretch of rounds, whose means tell its standard error: single rows are correlated
STALLED = 0.9  # an objective that keeps this share of itself from one half of a stretch to the other falls no more


class Score(NamedTuple):
    """A candidate's mean objective over a stretch of rounds, and the standard error of it."""

    mean: float
    error: float


class Phase(NamedTuple):
    """A stretch of a run in which nothing changes shape."""

    algorithm: JointTeleportation
    groups: tuple[int, ...]
    """A number for each candidate; one that was there before goes on."""
    slots: tuple[int, ...] | None = None
    """For each slot, the slot of the phase before whose state it goes on from; None where nothing changes."""


@dataclass(frozen=True)
class Rule:
    """What a schedule decides by; the arguments of :func:`telejax.auto`."""

    optimizer: Optimizer | FixedOptimizer
    topology: TopologyLike
    state_travels: bool = True
    candidates: tuple[int, ...] | None = None
    objective: str = "slots"
    tolerance: float = 0.05


class Schedule:
    """The course of one run: which candidates are open now, and from whose parameters each one came."""

    def __init__(self, rule: Rule, nodes: int, window: int) -> None:
        self.rule, self.nodes, self.window = rule, nodes, window
        self.numbers = itertools.count()
        sizes = passes(rule.candidates or (), nodes)[0]
        self.parents: dict[int, int | None] = {}
        self.sizes: dict[int, int] = {}
        self.phase = Phase(self._joint(sizes), tuple(self._new(k, None) for k in sizes))
        self.opened, self.length = 0, FIRST_SEARCH
        self.incumbent: int | None = None
        """The winner so far, where there is no room for it beside the candidate on trial."""
        self.pause = 0
        """Windows that the next search waits for: none at first, as larger candidates may have had no room."""
        self.before: int | None = None
        """The winner of the last search."""

    def decide(self, history: pl.DataFrame, done: int) -> None:
        """Change ``phase`` to what runs in the next window."""
        scores = self._scores(history, done)
        leader = min(scores, key=scores.__getitem__)
        watched = self.phase.groups[0] if leader == self.incumbent else leader  # an incumbent stands still
        stalled = not self._falls(history, watched, done)
        if len(scores) == 1:
            if stalled and done - self.opened >= self.pause * self.window:
                self._open(leader, done)
        elif stalled and done - self.opened >= self.length * self.window:
            self._promote(self._choice(scores), done)
        elif (done - self.opened) // self.window in HALVE_AT and self.incumbent is None:
            last = (done - self.opened) // self.window == HALVE_AT[-1]
            if self._had_no_room(group := self._choice(scores) if last else leader):
                self._open(group, done)
            else:
                within = self._within(scores)
                better = sorted(scores, key=scores.__getitem__)[: (len(scores) + 1) // 2]
                larger = [
                    one for one in scores if self.sizes[one] > self.sizes[leader] and np.isfinite(scores[one].mean)
                ]
                kept = {*within, *better, *larger}
                self._keep([group for group in self.phase.groups if group in kept])

    def _had_no_room(self, group: int) -> bool:
        """Whether this is the largest candidate of the search only because no larger one fitted in beside it."""
        larger = [size for size in self.rule.candidates or () if size > self.sizes[group]]
        return bool(larger) and self.sizes[group] == max(self.sizes.values())

    def ancestry(self, history: pl.DataFrame, done: int) -> Sequence[int]:
        """The groups whose parameters led to the chosen one of the last phase, oldest first."""
        scores = self._scores(history, done)
        chosen = self._choice({group: scores[group] for group in self.phase.groups})
        line = [chosen]
        while (parent := self.parents[line[0]]) is not None:
            line.insert(0, parent)
        return line

    def _choice(self, scores: dict[int, Score]) -> int:
        """The smallest candidate that is within the tolerance of every larger one by a standard error."""
        by_size = sorted(scores, key=self.sizes.__getitem__)
        return next(
            group
            for place, group in enumerate(by_size)
            if all(self._clearly_within(scores[group], scores[larger]) for larger in by_size[place + 1 :])
        )

    def _within(self, scores: dict[int, Score]) -> list[int]:
        """The candidates within the tolerance of the lowest, give or take a standard error."""
        lowest = min(scores.values())
        bound = (1 + self.rule.tolerance) * lowest.mean
        near = [group for group, one in scores.items() if one.mean - np.hypot(one.error, lowest.error) <= bound]
        return near or list(scores)  # none where all diverged

    def _clearly_within(self, one: Score, other: Score) -> bool:
        """Whether a candidate is within the tolerance of another one by a standard error."""
        return bool(one.mean + np.hypot(one.error, other.error) <= (1 + self.rule.tolerance) * other.mean)

    def _promote(self, winner: int, done: int) -> None:
        before = self.incumbent if self.incumbent is not None else self.before
        if winner in self.phase.groups:
            self._keep([winner])
        else:  # the incumbent, which was not running: its slots go on from those of the candidate on trial
            k, trial = self.sizes[winner], self.phase.groups[0]
            slots = tuple(range(k))
            self.phase = Phase(self._joint([k]), (self._new(k, trial),), slots)
        self.pause = 2 * self.pause + 1 if winner == before else 0
        self.opened, self.incumbent, self.before = done, None, self.phase.groups[0]

    def _open(self, winner: int, done: int) -> None:
        """Start the next larger candidates from the winner's parameters; alone where there is no room for both."""
        k = self.sizes[winner]
        larger = [size for size in self.rule.candidates or () if size > k][:2]
        beside = [k, *larger]
        while len(beside) > 1 and sum(beside) > self.nodes:
            beside.pop()
        if not larger:
            self.pause = 2 * self.pause + 1
            return
        alone = len(beside) == 1
        sizes = larger[:1] if alone else beside
        groups = tuple(winner if size == k else self._new(size, winner) for size in sizes)
        slots = tuple(slot % k for size in sizes for slot in range(size))
        self.phase = Phase(self._joint(sizes), groups, slots)
        self.opened, self.length, self.before = done, NEXT_SEARCH, winner
        self.incumbent = winner if alone else None

    def _keep(self, groups: Sequence[int]) -> None:
        places = [self.phase.groups.index(group) for group in groups]
        algorithm, slots = self.phase.algorithm.keep(places)
        self.phase = Phase(algorithm, tuple(groups), slots)

    def _scores(self, history: pl.DataFrame, done: int) -> dict[int, Score]:
        """The mean objective of each candidate over the later half of the search; infinite where it diverged."""
        late = self._mean(history, (self.opened + done) / 2, done)
        scores = {group: late[group] for group in self.phase.groups}
        if self.incumbent is not None:
            scores[self.incumbent] = self._mean(history, self.opened - (done - self.opened) / 2, self.opened)[
                self.incumbent
            ]
        return scores

    def _falls(self, history: pl.DataFrame, group: int, done: int) -> bool:
        """Whether the objective of a candidate is lower in the last quarter of the search than in the one before."""
        start, middle = done - (done - self.opened) / 2, done - (done - self.opened) / 4
        earlier, later = self._mean(history, start, middle), self._mean(history, middle, done)
        return bool(group in earlier and group in later and later[group].mean < STALLED * earlier[group].mean)

    def _mean(self, history: pl.DataFrame, after: float, until: float) -> dict[int, Score]:
        rows = history.filter((pl.col("round") > after) & (pl.col("round") <= until))
        batch = ((pl.col("round") - after) * BATCHES / (until - after)).ceil()
        batches = rows.group_by("group", batch.alias("batch")).agg(
            pl.col(OBJECTIVES[self.rule.objective]).mean(), pl.col("diverged").any()
        )
        scores = {}
        for (group,), table in batches.group_by("group"):
            values = table[OBJECTIVES[self.rule.objective]].to_numpy().astype(np.float64)
            if table["diverged"].any() or not np.isfinite(values).all():
                scores[group] = Score(float("inf"), 0.0)
            else:
                error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
                scores[group] = Score(float(values.mean()), float(error))
        return scores

    def _joint(self, sizes: Sequence[int]) -> JointTeleportation:
        rule = self.rule
        return joint_teleportation(
            active=sizes,
            topology=rule.topology,
            optimizer=rule.optimizer,
            state_travels=rule.state_travels,
        )

    def _new(self, size: int, parent: int | None) -> int:
        number = next(self.numbers)
        self.sizes[number], self.parents[number] = size, parent
        return number
