"""Which way is better: the direction of the columns that telejax knows."""

from collections.abc import Mapping

HIGHER_IS_BETTER = {
    "loss": False,
    "validation_loss": False,
    "grad_norm_sq": False,
    "consensus": False,
    "mean_drift": False,
    "lost": False,
    "epsilon": False,
    "accuracy": True,
    "accuracy_local": True,
    "validation_accuracy": True,
}


def all_directions(own: Mapping[str, bool] | None = None) -> dict[str, bool]:
    """Column of the history to whether higher is better, those derived from others (``_slots``, ``_worst``) included.

    >>> all_directions({"perplexity": False})["perplexity_slots"]
    False
    """
    known = {**HIGHER_IS_BETTER, **(own or {})}
    return {**{f"{name}_{suffix}": known[name] for name in known for suffix in ("slots", "worst")}, **known}
