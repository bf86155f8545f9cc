"""Robust aggregation: what stands in the place of an average where some of the vectors are forged.

A rule makes one vector of m received ones, the receiver's own among them: ``rule(x, own=0)`` of x (m, d). Rules with a
number f stand as many forged ones, mostly as long as 2 f < m; distances are over all numbers of a model together.
Methods take one as ``aggregation=``; a vector that did not arrive, or that holds what is no finite number, counts as
the receiver's own.
"""

from collections.abc import Callable
from typing import Any, get_args

import jax

from telejax.backend import factories
from telejax.errors import NON_NEGATIVE, POSITIVE, check_integer, check_kind, check_name, is_kind, plain, short
from telejax.mixing.forms import MAX_ENTRIES, Mixing
from telejax.mixing.means import Mean
from telejax.mixing.rules import (
    CenteredClipping,
    ClippedGossip,
    GeometricMedian,
    Krum,
    Meamed,
    Median,
    MultiKrum,
    NearestNeighbourAveraging,
    NearestNeighbourMixing,
    Rule,
    Start,
    TrimmedMean,
)

MOST_STEPS = 1000


def median() -> Median:
    """The median of each coordinate (D. Yin et al. 2018, arXiv 1803.01498).

    >>> import jax.numpy as jnp
    >>> median()(jnp.array([[0.0], [1.0], [50.0]])).tolist()
    [1.0]
    """
    return Median()


def trimmed_mean(f: int) -> TrimmedMean:
    """The mean of each coordinate without its f largest and f smallest values (Yin et al. 2018, arXiv 1803.01498).

    Args:
        f: forged vectors that it stands, at least 0 and below half of those received.

    Raises:
        ValueError: f is no integer of at least 0.

    >>> import jax.numpy as jnp
    >>> trimmed_mean(1)(jnp.array([[0.0], [1.0], [2.0], [50.0]])).tolist()
    [1.5]
    """
    return TrimmedMean(_count(f))


def meamed(f: int) -> Meamed:
    """The mean of the m - f values of each coordinate nearest to their median (C. Xie et al. 2018, arXiv 1802.10116).

    Args:
        f: forged vectors that it stands, at least 0 and below half of those received.

    Raises:
        ValueError: f is no integer of at least 0.

    >>> import jax.numpy as jnp
    >>> meamed(1)(jnp.array([[0.0], [1.0], [2.0], [50.0]])).tolist()
    [1.0]
    """
    return Meamed(_count(f))


def geometric_median(steps: int = 3, floor: float = 1e-6, start: Start = "own") -> GeometricMedian:
    """The point with the least sum of distances, by Weiszfeld's iteration (K. Pillutla et al. 2022, arXiv 1912.13445).

    Args:
        steps: of the iteration, at least 1.
        floor: distances below it count as it, above 0.
        start: of the iteration: the receiver's own vector, or zero.

    Raises:
        ValueError: an argument out of its range.

    >>> import jax.numpy as jnp
    >>> point = geometric_median(steps=20)(jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [99.0, 99.0]]))
    >>> float(jnp.max(jnp.abs(point))) < 1
    True
    """
    check_name("start", start, get_args(Start))
    return GeometricMedian(POSITIVE.check("floor", floor), _steps(steps), start)


def krum(f: int) -> Krum:
    """The vector with the least mean squared distance to its m - f - 1 nearest others (P. Blanchard et al. 2017).

    Args:
        f: forged vectors that it stands, at least 0 and below half of those received.

    Raises:
        ValueError: f is no integer of at least 0.

    >>> import jax.numpy as jnp
    >>> krum(1)(jnp.array([[0.0], [1.0], [1.5], [50.0]])).tolist()
    [1.0]
    """
    return Krum(_count(f))


def multi_krum(f: int) -> MultiKrum:
    """The mean of the m - f vectors with the best score of :func:`krum` (P. Blanchard et al. 2017, arXiv 1703.02757).

    Args:
        f: forged vectors that it stands, at least 0 and below half of those received.

    Raises:
        ValueError: f is no integer of at least 0.

    >>> import jax.numpy as jnp
    >>> multi_krum(1)(jnp.array([[0.0], [1.0], [2.0], [50.0]])).tolist()
    [1.0]
    """
    return MultiKrum(_count(f))


def centered_clipping(radius: float, steps: int = 1) -> CenteredClipping:
    """From the own vector, step by step to the mean of differences no longer than a radius.

    S. P. Karimireddy, L. He, M. Jaggi 2021, arXiv 2012.10333.

    Args:
        radius: of a ball around the own vector, beyond which nothing pulls harder; at least 0.
        steps: at least 1.

    Raises:
        ValueError: an argument out of its range.

    >>> import jax.numpy as jnp
    >>> centered_clipping(radius=1.0)(jnp.array([[0.0], [1.0], [50.0], [1.0]])).tolist()
    [0.75]
    """
    return CenteredClipping(NON_NEGATIVE.check("radius", radius), _steps(steps))


def clipped_gossip(radius: float) -> ClippedGossip:
    """Gossip over differences no longer than a radius: ``x_i + sum_j W_ij clip(x_j - x_i, radius)``.

    L. He, S. P. Karimireddy, M. Jaggi 2022, arXiv 2202.01545. The mean is kept where W is symmetric and nothing forged.

    Args:
        radius: of a ball around the own model; at least 0.

    Raises:
        ValueError: a radius below 0.

    >>> import jax.numpy as jnp
    >>> clipped_gossip(radius=1.0)(jnp.array([[0.0], [1.0], [50.0], [1.0]])).tolist()
    [0.75]
    """
    return ClippedGossip(NON_NEGATIVE.check("radius", radius))


def nearest_neighbour_averaging(f: int) -> NearestNeighbourAveraging:
    """The mean of the m - f vectors nearest to the receiver's own (S. Farhadkhani et al. 2023, arXiv 2209.10931).

    It trusts the own vector, and so may stand more forged ones than half: FedAvg, whose own vector is the server's
    model, and DSGD have one that nobody forges; a slot that was handed over has not.

    Args:
        f: vectors to leave out, at least 0 and below those received.

    Raises:
        ValueError: f is no integer of at least 0.

    >>> import jax.numpy as jnp
    >>> nearest_neighbour_averaging(2)(jnp.array([[1.0], [0.0], [50.0], [50.0]])).tolist()
    [0.5]
    """
    return NearestNeighbourAveraging(_count(f))


def nearest_neighbour_mixing(f: int, rule: Rule | str) -> NearestNeighbourMixing:
    """Before another rule, each vector becomes the mean of its m - f nearest, itself included.

    Y. Allouah et al. 2023, arXiv 2302.01772.

    Args:
        f: forged vectors that it stands, at least 0 and below half of those received.
        rule: that aggregates what this makes of the vectors; a name will do.

    Raises:
        ValueError: f is no integer of at least 0, or the rule is none.

    >>> import jax.numpy as jnp
    >>> nearest_neighbour_mixing(1, krum(1))(jnp.array([[0.0], [1.0], [2.0], [50.0]])).tolist()
    [1.0]
    """
    return NearestNeighbourMixing(_count(f), check_rule("rule", rule))


RULES: dict[str, Callable[..., Rule]] = {
    make.__name__: make
    for make in (
        median,
        trimmed_mean,
        meamed,
        geometric_median,
        krum,
        multi_krum,
        centered_clipping,
        clipped_gossip,
        nearest_neighbour_averaging,
        nearest_neighbour_mixing,
    )
}
"""By name, for texts."""


def from_spec(argument: str, spec: str) -> Rule:
    """The rule that a text such as "trimmed_mean:f=2" describes.

    Args:
        argument: what it was given as, for errors.
        spec: a name and its parameters.

    Raises:
        ValueError: an unknown rule or parameter, or one that is missing.

    >>> str(from_spec("aggregation", "trimmed_mean:f=2"))
    'trimmed_mean(2)'
    """
    argument = check_kind("argument", argument, str, "give a text")
    spec = check_kind(argument, spec, str, 'give a rule as a text, such as "trimmed_mean:f=2"')
    name, texts = factories.split(spec, RULES)
    make = RULES[check_name(f"rule in {argument}", name, RULES)]
    if missing := [one for one in factories.required(make) if one not in texts]:
        raise ValueError(
            f"{argument} is {spec!r}, and {name} needs {' and '.join(missing)}; write {name}:{missing[0]}=1"
        )
    values = factories.read(argument, name, texts, make)
    try:
        return make(**values)
    except ValueError as error:
        raise ValueError(f"{argument} is {short(spec)}: {error}") from error


def check_rule(name: str, given: Any) -> Rule:
    """Return a rule, also one that is given as a text, or raise a ValueError."""
    if is_kind(given, str):
        return from_spec(name, plain(given))
    return check_kind(name, given, Rule, "give one of telejax.robust, such as telejax.robust.trimmed_mean(2)")


def check_aggregation(given: Any, mixing: Mixing | None = None) -> Rule | None:
    """Return a rule or None, or raise a ValueError where it is none, or where a slot has too few vectors for it.

    Args:
        given: what was given as ``aggregation``, a text too.
        mixing: over which it aggregates, once that is known.
    """
    if given is None:
        return None
    rule = check_rule("aggregation", given)
    if mixing is None or any(is_kind(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(mixing)):
        return rule
    if (entries := mixing.degree * mixing.slots) > MAX_ENTRIES and (rule.needs_own or not isinstance(mixing, Mean)):
        raise ValueError(
            f"aggregation is {rule}, and topology {mixing.name!r} over {mixing.slots} slots has neighbour lists of "
            f"{entries} entries; at most {MAX_ENTRIES} are aggregated, take a graph of lower degree or fewer slots"
        )
    fewest, slot, round = mixing.fewest()
    rule.check(f"aggregation: slot {slot} of topology {mixing.name!r} in round {round}", fewest)
    return rule


def _count(f: int) -> int:
    return check_integer("f", f, minimum=0, maximum=2**31 - 1)


def _steps(steps: int) -> int:
    return check_integer("steps", steps, minimum=1, maximum=MOST_STEPS)
