"""How long and how often a simulation runs, checked before anything is compiled."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from telejax.algorithms.base import Plan, Stage
from telejax.errors import check_integer, check_number
from telejax.tasks.base import Task

EVALUATIONS = 50  # about how many rows a run has where eval_every is not given
MAX_SEED = 2**32 - 1
MAX_COUNT = 2**31 - 1  # of the int32 counters on the device


def check_one_budget(rounds: int | None, gradients: int | None) -> None:
    """Raise a ValueError unless exactly one of the two budgets is given."""
    if (rounds is None) == (gradients is None):
        raise ValueError(f"rounds is {rounds} and gradients is {gradients}; give exactly one of the two budgets")


def check_horizons(rounds: int | None, gradients: int | None, plan: Plan, task: Task) -> tuple[int, ...]:
    """Rounds of each group of the plan, from exactly one of the two budgets."""
    check_one_budget(rounds, gradients)
    return plan.horizons(task.nodes, rounds, gradients)


def check_eval_every(eval_every: int | None, horizons: tuple[int, ...]) -> int:
    """Rounds between two rows; about ``EVALUATIONS`` rows by default."""
    eval_every = max(1, max(horizons) // EVALUATIONS) if eval_every is None else eval_every
    return check_integer("eval_every", eval_every, minimum=1)


def check_handoffs(eval_every: int, slots: int) -> None:
    """Raise a ValueError where the hand-offs between two rows may overflow."""
    most = MAX_COUNT // slots
    if eval_every > most:
        raise ValueError(
            f"eval_every is {eval_every}; hand-offs are counted in int32 between two rows, give at most {most}"
        )


def check_seeds(seed: int, seeds: int | Sequence[int] | None) -> list[int]:
    """The seeds of the runs, each once."""
    seed = check_integer("seed", seed, minimum=0)
    if seeds is None:
        name, chosen = "seed", [seed]
    elif isinstance(seeds, int | np.integer):
        name, chosen = "seed", list(range(seed, seed + check_integer("seeds", seeds, minimum=1)))
    else:
        name, chosen = "seeds", [check_integer("seeds", one, minimum=0) for one in seeds]
    if max(chosen, default=0) > MAX_SEED:
        raise ValueError(f"{name} reaches {max(chosen)}; give seeds of at most {MAX_SEED}, keys are made of 32 bits")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds is {chosen}; give at least one seed, and each only once")
    return chosen


def check_rates(tune: Sequence[float] | None, plan: Plan) -> list[float] | None:
    """The step sizes that are tried, each once; None where none are."""
    if tune is None:
        return None
    rates = [check_number("tune", one, exclusive=True) for one in tune]
    if not rates or len(set(rates)) < len(rates):
        raise ValueError(f"tune is {rates}; give at least one step size, and each only once")
    plan.with_learning_rate(rates[0])  # refuses optimizers without a tunable step size
    return rates


def check_single_stage(plan: Plan, task: Task, horizons: tuple[int, ...], arguments: Mapping[str, Any]) -> None:
    """Raise a ValueError where one of these arguments is given and the slots change on the way."""
    given = [f"{name} is {str(value)!r}" for name, value in arguments.items() if value is not None]
    if not given:
        return
    first: Stage = next(plan.stages(task, horizons))
    if plan.decides or first.rounds < max(horizons):
        raise ValueError(
            f"{given[0]}, and {plan.name} runs in stages between which its slots change; leave {given[0].split()[0]} "
            "out, or run an algorithm whose slots stay to the end: with active a number, on a budget of rounds"
        )


def chunks(rounds: int, eval_every: int, first: bool) -> Iterator[int]:
    """Rounds up to each evaluation: none before the first of a run, a shorter rest at the end."""
    if first:
        yield 0
    yield from [eval_every] * (rounds // eval_every)
    if rounds % eval_every:
        yield rounds % eval_every
