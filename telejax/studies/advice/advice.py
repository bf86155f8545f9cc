"""The advice: what was simulated, what is recommended, how it prints, is drawn, saved and reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from telejax.errors import check_integer, check_kind
from telejax.results import cards
from telejax.results.kept import Kept
from telejax.results.printed import PrintedTable, tight_table
from telejax.results.spread import mean_and_spread
from telejax.studies.advice.candidates import Candidate
from telejax.studies.advice.decide import Decision, decide, exceeded
from telejax.studies.advice.outcome import ACCURACIES, Outcome
from telejax.studies.advice.runs import Trials
from telejax.studies.advice.sites import Aim, Prices

if TYPE_CHECKING:
    import matplotlib.figure

    from telejax.results.report.subject import Subject

SAID = {
    "server": "A server is better",
    "together": "Train together, all at once",
    "representatives": "Train together by representatives",
}
CHECKED_FROM = 1000
"""The first seed with which a recommendation is checked: none that led to it."""


@dataclass(frozen=True, repr=False)
class Advice(Kept):
    """The outcome of :func:`telejax.advise`."""

    picture: ClassVar[str] = "advice.png"

    trials: Trials
    """The sites."""
    candidates: Mapping[str, Candidate]
    """By name."""
    outcomes: Sequence[Outcome]
    """Of the finalists, with all seeds."""
    others: Sequence[Outcome]
    """Of the other candidates, with the seeds that choose step sizes."""
    decision: Decision
    left_out: Mapping[str, str]
    """Candidates that were not simulated, and why: ``no_server``, or ``too_many`` sites at once."""
    pilot: Outcome | None
    """What is recommended, with a tenth of the sites; None where they are to train alone, or nothing reaches the aim.
    """
    stress: Mapping[str, Outcome]
    """What is recommended where more sites are ``away``, some are ``lying``, or messages ``lost``."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of :func:`telejax.advise`: ``sites`` (the path of a site file, or None), ``methods``, ``seeds`` and
    ``seed``; and ``decided``, what :meth:`decide` was given since.
    """
    command: dict[str, Any] = field(default_factory=dict)
    """The command line that asked for it, and the versions that ran it, where there was one."""

    @property
    def table(self) -> pl.DataFrame:
        """The finalists, the best first; see :class:`telejax.advice.Decision`."""
        return self.decision.table

    @property
    def recommended(self) -> str | None:
        """The candidate that is recommended; None where none reaches the aim."""
        return self.decision.recommended

    @property
    def nearest(self) -> str:
        """What is recommended, or what comes nearest to the aim."""
        return self.decision.nearest

    @property
    def pays(self) -> bool:
        """Whether decentralized training reaches the aim, and neither training alone nor a server is better."""
        kind = self.best["kind"]
        return self.recommended is not None and kind in ("together", "representatives")

    @property
    def best(self) -> dict[str, Any]:
        """The first row of the table."""
        return self.table.row(0, named=True)

    def decide(self, aim: Aim, prices: Prices | None = None) -> "Advice":
        """What the same simulations advise for another aim, or other prices; without a pilot of it.

        Args:
            aim: what is to be reached.
            prices: by default those of the sites.

        Raises:
            ValueError: of another kind, or a cost without prices.
        """
        check_kind("aim", aim, Aim, "give telejax.advice.Aim(...)")
        if prices is not None:
            check_kind("prices", prices, Prices, "give telejax.advice.Prices(...)")
        known = self.trials.sites.prices if prices is None else prices
        sites = replace(self.trials.sites, aim=aim, prices=known)
        outcomes = [one.reaching(aim) for one in self.outcomes]
        decision = decide(outcomes, aim, known)
        given = {"aim": _plain(aim), **({} if prices is None else {"prices": _plain(prices)})}
        asked = {**self.asked, "decided": {**self.asked.get("decided", {}), **given}}
        return replace(
            self, trials=Trials(sites), outcomes=outcomes, decision=decision, pilot=None, stress={}, asked=asked
        )

    def check(self, seeds: int = 10) -> pl.DataFrame:
        """What is recommended, simulated anew with seeds that had no part in it.

        Returns:
            A row a seed: ``seed``, ``accuracy``, ``worst``, ``hours``, ``gigabytes`` and ``load`` (gigabytes),
            ``cost`` and whether it ``meets`` the aim.

        Raises:
            ValueError: fewer than one seed, or nothing is recommended.
        """
        seeds = check_integer("seeds", seeds, minimum=1, maximum=1000)
        if self.recommended is None:
            raise ValueError(f"nothing reaches the aim, {self.nearest} comes nearest; give an aim that it reaches")
        aim, prices, row = self.trials.sites.aim, self.trials.sites.prices, self.best
        numbers = range(CHECKED_FROM, CHECKED_FROM + seeds)
        one = self.candidates[self.recommended]
        found = self.trials.run(one, numbers, row["rounds"], [row["learning_rate"]])
        rows = []
        for seed in numbers:
            own = replace(found, history=found.history.filter(pl.col("seed") == seed))
            at = own.at(row["rounds"])
            costs = own.costs(at, aim, prices)
            there = all(getattr(aim, name) is None or at[name] >= getattr(aim, name) for name in ACCURACIES)
            meets = there and not exceeded(costs, aim)
            rows.append({"seed": seed, **{name: at[name] for name in ACCURACIES}, **costs, "meets": meets})
        return pl.DataFrame(rows, infer_schema_length=None)

    def history(self) -> pl.DataFrame:
        """All rows of all candidates, with the columns ``method`` and ``tuned`` (whether it is a finalist)."""
        named = [(one, True) for one in self.outcomes] + [(one, False) for one in self.others]
        return pl.concat(
            [
                one.history.with_columns(
                    pl.lit(one.name).alias("method"),
                    (pl.col("bytes") * one.bytes_scale).alias("bytes"),
                    (pl.col("gradients") * one.sites_scale).alias("gradients"),
                    pl.lit(final).alias("tuned"),
                )
                for one, final in named
            ],
            how="diagonal_relaxed",
        )

    @property
    def config(self) -> dict[str, Any]:
        """What was asked and what is advised, in plain values."""
        sites, aim = self.trials.sites, self.trials.sites.aim
        return {
            "advice": {
                "recommended": self.recommended,
                "nearest": self.nearest,
                "least": self.decision.least,
                "aim": _plain(aim),
                "prices": None if sites.prices is None else _plain(sites.prices),
                "table": self.table.to_dicts(),
                "pilot": None if self.pilot is None else self._told(self.pilot),
                "stress": {name: self._told(one) for name, one in self.stress.items()},
                "left_out": dict(self.left_out),
                "server": sites.server is not None,
                "data": sites.held(),
                "others": [one.name for one in self.others],
            },
            "nodes": sites.nodes,
            "title": f"{sites.nodes} sites, {sites.describe_data()}",
            "sites": sites.describe(),
            "seeds": int(self.outcomes[0].history["seed"].n_unique()),
            "asked": dict(self.asked),
            **self.command,
        }

    def _told(self, outcome: Outcome) -> dict[str, Any]:
        """An outcome at its end."""
        at = outcome.at(outcome.rounds[-1])
        costs = outcome.costs(at, self.trials.sites.aim, self.trials.sites.prices)
        return {"name": outcome.name, "active": outcome.active, "sites": outcome.sites, **at, **costs}

    def plot(self) -> "matplotlib.figure.Figure":
        """The accuracy on the sites' own data against hours, gigabytes and cost."""
        from telejax.studies.advice.picture import plot_advice

        prices = self.trials.sites.prices
        currency = "" if prices is None else prices.currency
        return plot_advice(self.table, self.trials.sites.aim, self.recommended, currency)

    def _tables(self) -> dict[str, pl.DataFrame]:
        table = self.table.with_columns(pl.col("misses").list.join(" "))
        return {"history.parquet": self.history(), "table.csv": table}

    def _saved_config(self) -> dict[str, Any]:
        return self.config

    def _picture(self) -> bytes:
        from telejax.results.plots import figure_png

        return figure_png(self.plot().axes[0], dpi=150)

    def _subject(self) -> "Subject":
        from telejax.results.report.subject import of_advice

        return of_advice(self.history(), self.config)

    def sentence(self) -> str:
        """The advice in one sentence."""
        row, name = self.best, self.nearest
        accuracy = f"{row['accuracy']:.1%} (worst tenth {row['worst']:.1%})"
        if self.recommended is None:
            return f"Nothing reaches the aim: {self.shortfall()}"
        if row["kind"] == "alone":
            return f"Training together does not pay: each site alone reaches {accuracy}, which is enough"
        currency = "" if self.trials.sites.prices is None else self.trials.sites.prices.currency
        cost = "" if row["cost"] is None else f", {row['cost']:.3g} {currency}"
        return (
            f"{SAID[row['kind']]}: {name}, {row['rounds']} rounds, reaches {accuracy} in {row['hours']:.3g} hours with "
            f"{row['gigabytes']:.3g} GB in all, {row['load']:.3g} at the busiest site{cost}"
        )

    def shortfall(self) -> str:
        """Of what comes nearest to the aim, what it misses and by how much, with the remedy."""
        row, aim = self.best, self.trials.sites.aim
        units = {"accuracy": "{:.1%}", "worst": "{:.1%}", "hours": "{:.3g} hours", "cost": "{:.3g}"}
        told = [
            f"{name} {units[name].format(row[name])} of {units[name].format(getattr(aim, name))}"
            if name in units
            else "the accuracy on average, but not with every seed"
            for name in row["misses"]
        ]
        remedy = "lower the accuracies" if {"accuracy", "worst", "safely"} & {*row["misses"]} else "allow more"
        return f"{self.nearest} comes nearest, with {', '.join(told) or 'runs that diverged'}; {remedy}"

    def unseen(self) -> str:
        """What was not simulated, and why, in one sentence; empty where there is nothing."""
        reasons = {"no_server": "without a server", "too_many": "with so many sites"}
        told = [f"{name} ({reasons[why]})" for name, why in self.left_out.items()]
        return f"Not simulated: {', '.join(told)}" if told else ""

    def __rich__(self) -> PrintedTable:
        sites = self.trials.sites
        seeds = self.outcomes[0].history["seed"].n_unique()
        table = tight_table(f"{sites.nodes:,} sites, {sites.describe_data()}, {seeds} seeds: accuracy on own data")
        table.add_column("> recommended\n* beaten by nothing", min_width=22, overflow="fold")
        priced = [] if sites.prices is None else [sites.prices.currency]
        for title in ("rounds", "accu-\nracy", "worst\ntenth", "hours", "GB", "GB of\nbusiest", *priced):
            table.add_column(title, justify="right", no_wrap=True)
        for row in self.table.iter_rows(named=True):
            mark = "> " if row["name"] == self.recommended else "* " if row["pareto"] else "  "
            missed = " and ".join("it at times" if name == "safely" else name for name in row["misses"])
            what = "diverged" if row["diverged"] else f"misses {missed}"
            table.add_row(
                mark + row["name"] + ("" if row["meets"] else f"\n  {what}"),
                f"{row['rounds']}",
                *(mean_and_spread(row[name], row[f"{name}_std"], digits=3, join="\n") for name in ACCURACIES),
                *(f"{row[name]:.3g}" for name in ("hours", "gigabytes", "load", *(["cost"] if priced else []))),
            )
        return table

    def _repr_html_(self) -> str:
        told = self.sentence()
        return cards.card(told, cards.picture(self._picture, told), cards.table(self.table))


def _plain(one: Aim | Prices) -> dict[str, Any]:
    """What was given of it."""
    return {name: value for name, value in vars(one).items() if value is not None}
