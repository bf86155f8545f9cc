"""Runs one after another, for what may take another course with each seed and step size."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, Self, TypeVar

import jax
import numpy as np
import polars as pl

from telejax.errors import DivergenceError
from telejax.results.result import Result


class Tunable(Protocol):
    """What has a name and a step size."""

    @property
    def name(self) -> str: ...

    def with_learning_rate(self, learning_rate: float) -> Self: ...


PlanT = TypeVar("PlanT", bound=Tunable)


def sequential(
    plan: PlanT, seeds: Sequence[int], rates: Sequence[float] | None, run: Callable[[PlanT, int], Result]
) -> Result:
    """One result of all seeds and step sizes; their programs are shared.

    Args:
        plan: what to run, with each of
        seeds: and
        rates: step sizes that replace its own; None for its own alone.
        run: simulates a plan with a seed.

    Raises:
        DivergenceError: every run diverged.
    """
    results = []
    for seed in seeds:
        for rate in rates or (None,):
            try:
                results.append(run(plan if rate is None else plan.with_learning_rate(rate), seed))
            except DivergenceError as error:  # told by the column; the other runs go on
                results.append(error.result)
    shape = (len(seeds), len(rates or [None]), -1)
    first = results[0]
    merged = replace(
        first,
        history=pl.concat([run.history for run in results]),
        config={**first.config, "seeds": list(seeds), "tune": rates and {"learning_rate": list(rates)}},
        params=jax.tree.map(lambda *x: np.stack(x).reshape(*shape, *x[0].shape[3:]), *(run.params for run in results)),
        state=None,
    )
    if bool(merged.final()["diverged"].all()):
        raise DivergenceError(
            f"{plan.name} diverged with every seed and step size of {merged.learning_rates}; try a smaller one", merged
        )
    return merged
