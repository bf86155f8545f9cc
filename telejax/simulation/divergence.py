"""What is said where no run of a simulation has finite numbers any more."""

import polars as pl
import polars.selectors as cs

from telejax.errors import DivergenceError
from telejax.results.result import Result

MODELS = ("loss", "loss_slots", "consensus")
"""Columns that are finite as long as the models are."""


def divergence(name: str, round: int, start: int, result: Result) -> DivergenceError:
    """The error that every run has diverged by this round, or was not finite where it started.

    Args:
        name: of the method.
        round: the last one.
        start: that from which the runs went on.
        result: what there is so far.
    """
    last = result.history.filter(pl.col("round") == round).select(cs.float())
    finite = last.select(pl.all().is_finite().fill_null(True).all()).row(0, named=True)
    columns = ", ".join(column for column, is_finite in finite.items() if not is_finite)
    rates = ", ".join(f"{rate:g}" for rate in result.learning_rates if rate) or "as in its optimizer"
    if round == start:
        where = "the parameters of task.init or the data of task.evaluate" if start == 0 else "the given state"
        why = (
            f"{name} starts with values that are not finite in {columns}; look for nan and inf in {where}, or in the "
            "metric of this name"
        )
    elif all(finite.get(column, True) for column in MODELS):
        why = (
            f"{name} has values that are not finite in {columns} by round {round}, but a finite loss; look for nan and "
            "inf in the metric of this name, or give other metrics"
        )
    else:
        remedy = "try a smaller one, or look for nan and inf in task.loss"
        why = f"{name} diverged by round {round} with step size {rates}; {remedy}"
    return DivergenceError(f"{why}; the history so far is in the result of this error", result)
