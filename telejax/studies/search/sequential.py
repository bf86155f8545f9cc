"""Whole runs one after another or on a device each, for what may take another course with each seed and setting."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import numpy as np
import polars as pl

from telejax.backend.threads import over_devices
from telejax.errors import DivergenceError
from telejax.results.result import Result
from telejax.simulation.tuning import Setting

Job = tuple[int, Setting]
"""A seed and a setting."""


def sequential(
    name: str,
    seeds: Sequence[int],
    settings: Sequence[Setting],
    run: Callable[[Job], Result],
    devices: Sequence[jax.Device] | None,
) -> Result:
    """One result of all seeds and settings; their programs are shared.

    Args:
        name: of what runs.
        seeds: each of which runs with
        settings: each of these.
        run: simulates one of them.
        devices: on which whole runs go, one on each at a time; None for one run after another.

    Raises:
        DivergenceError: every run diverged.
    """

    def one(job: Job) -> Result:
        try:
            result = run(job)
        except DivergenceError as error:  # told by the column; the other runs go on
            result = error.result
        values = {column: pl.lit(value, pl.Float64) for column, value in job[1].columns.items()}
        named = result.history.with_columns(**values).select(
            "round", "seed", *values, pl.exclude("round", "seed", *values)
        )
        return replace(result, history=named)

    jobs = [(seed, setting) for seed in seeds for setting in settings]
    results = [one(job) for job in jobs] if devices is None else over_devices(one, jobs, devices)
    shape = (len(seeds), len(settings), -1)
    first = results[0]
    merged = replace(
        first,
        history=pl.concat([run.history for run in results], how="vertical_relaxed"),
        config={**first.config, "seeds": list(seeds)},
        params=jax.tree.map(lambda *x: np.stack(x).reshape(*shape, *x[0].shape[3:]), *(run.params for run in results)),
        state=None,
    )
    if bool(merged.final()["diverged"].all()):
        raise DivergenceError(
            f"{name} diverged with every seed and step size of {merged.learning_rates}; try a smaller one", merged
        )
    return merged
