"""What a report is about: the rows of any kind of study in one form, made from its history and its config alone."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from telejax.results.directions import all_directions

X_AXES = ("round", "gradients", "bytes", "messages", "time")
"""What a line may be drawn against, and what it costs."""
NAMING = (
    "line",
    "chosen",
    "method",
    "tuned",
    "seed",
    "group",
    "active",
    "nodes",
    "diverged",
    "cell",
    "status",
    "reason",
)
HIDDEN = ("messages_gossip", "messages_handoff", "bytes_gossip", "bytes_handoff")
FIRST = ("accuracy_slots", "accuracy_worst", "accuracy", "loss_slots", "loss", "consensus")
"""Measured columns in the order in which they matter to a reader; the others follow."""
OF_SITES = ("accuracy_local", "accuracy_local_worst")
"""Those that an advice is about."""
LAST_QUARTER = 0.75
"""A search judges a candidate by the mean from this share of its rounds on."""


@dataclass(frozen=True)
class Subject:
    """What was run, in the one form that a report reads."""

    kind: str
    """``comparison``, ``search``, ``sweep``, ``advice`` or ``result``."""
    title: str
    """The task, and what else all runs have in common; without the number of nodes."""
    runs: pl.DataFrame
    """All rows, with ``line`` (what a line of a chart stands for) and ``chosen`` (whether it is drawn)."""
    config: dict[str, Any]
    settings: tuple[str, ...]
    """Columns of the numbers that were tuned, ``learning_rate`` first."""
    axes: tuple[str, ...] = ()
    """Columns that take several values and are looked at in their own right, such as ``nodes``."""
    window: float = 1.0
    """From this share of a run's rounds on, its rows make its last value."""
    target: tuple[str, float] | None = None
    """A column and the value that it was to reach."""
    code: str = ""
    """How to run it again."""
    directions: dict[str, bool] = field(default_factory=all_directions)

    @property
    def naming(self) -> list[str]:
        """The columns that tell one group of seeds from another, of those that are drawn."""
        return ["line", *(name for name in self.axes if self.kind == "comparison")]

    @property
    def along(self) -> list[str]:
        """The columns that a run can be drawn against."""
        return [name for name in X_AXES if name in self.runs.columns]

    @property
    def metrics(self) -> list[str]:
        """The measured columns, those that matter most first."""
        aside = {*NAMING, *HIDDEN, *X_AXES, *self.settings, *self.axes}
        schema = self.runs.schema
        known = [name for name, kind in schema.items() if kind.is_numeric() and name not in aside]
        known = [name for name in known if self.kind != "sweep" or name in FIRST or not self._is_given(name)]
        known = [name for name in known if self.runs[name].null_count() < self.runs.height]
        first = (*OF_SITES, *FIRST) if self.kind == "advice" else FIRST
        return [*(name for name in first if name in known), *(name for name in known if name not in first)]

    def _is_given(self, name: str) -> bool:
        """Whether a column of a sweep is a number of its spec: those stand left of the rounds."""
        return self.runs.columns.index(name) < self.runs.columns.index("round")

    @property
    def metric(self) -> str:
        """The column that the answer is about: how good the models are that the nodes really have."""
        if self.kind == "advice":
            return OF_SITES[0]
        if self.kind == "search" and self.config.get("objective") == "mean" and "loss" in self.metrics:
            return "loss"
        return self.metrics[0] if self.metrics else "loss"

    @property
    def worst(self) -> str | None:
        """The column of the worst node, where it was measured."""
        name = OF_SITES[1] if self.kind == "advice" else self.metric.replace("_slots", "_worst")
        return name if name != self.metric and name in self.metrics else None

    def higher(self, column: str) -> bool:
        """Whether more of a column is better; of an unknown one, less."""
        return bool(self.directions.get(column, False))

    @property
    def lines(self) -> list[str]:
        """The names of what is drawn, in the order of the rows."""
        return self.runs.filter("chosen")["line"].unique(maintain_order=True).to_list()


def in_words(subject: Subject, column: Callable[[str], str]) -> Subject:
    """The same with its lines named by the words of a language for the columns that they tell."""
    line = pl.col("line")
    for name in subject.axes if subject.kind in ("sweep", "result") else ():
        line = line.str.replace_all(f"(^| · ){re.escape(name)} ", f"${{1}}{column(name)} ")
    return replace(subject, runs=subject.runs.with_columns(line))


def of_comparison(history: pl.DataFrame, config: dict[str, Any]) -> Subject:
    """Methods on one task, or on several numbers of nodes where the history has a column of them."""
    runs = history.with_columns(pl.col("method").alias("line"), pl.col("tuned").alias("chosen"))
    several = "nodes" in runs.columns and runs["nodes"].n_unique() > 1
    target = config.get("target") or {}
    return Subject(
        "comparison",
        re.sub(r",[\d\s,]*((and|to)\s*[\d,]+\s*)?nodes$", "", str(config.get("title", ""))),
        runs,
        config,
        _settings(runs, config.get("tune")),
        axes=("nodes",) if several else (),
        target=(target["metric"], float(target["value"])) if target.get("metric") in runs.columns else None,
        code=_code_of_comparison(config, runs),
        directions=_directions(_configs(config)),
    )


def of_search(history: pl.DataFrame, config: dict[str, Any]) -> Subject:
    """Numbers of active nodes, each at the step size that is best for it."""
    settings = tuple(config.get("tuned") or ("learning_rate",))
    objective = "loss" if config.get("objective") == "mean" else "loss_slots"
    last = pl.col("round") >= LAST_QUARTER * pl.col("round").max().over("active", "seed", *settings)
    scores = history.filter(last).group_by("active", *settings).agg(pl.col("diverged").any(), pl.col(objective).mean())
    best = scores.sort("diverged", objective, nulls_last=True).group_by("active", maintain_order=True).first()
    best = best.select("active", *settings, pl.lit(True).alias("chosen"))
    runs = history.join(best, on=["active", *settings], how="left", nulls_equal=True, maintain_order="left")
    runs = runs.with_columns(pl.format("k = {}", "active").alias("line"), pl.col("chosen").fill_null(False))
    title = f"{config.get('task', '')}, {config.get('topology', '')}"
    code = _code_of_search(config)
    ordered = runs.sort("active", maintain_order=True)
    return Subject("search", title, ordered, config, settings, ("active",), LAST_QUARTER, code=code)


def of_sweep(table: pl.DataFrame, config: dict[str, Any], axes: Sequence[str] | None = None) -> Subject:
    """Every combination of a spec; the axes are found in the table where they are not given."""
    given = table.columns[: table.columns.index("round")]
    if axes is None:
        axes = [name for name in given if name != "cell" and table[name].n_unique() > 1]
    parts = [pl.col(name).cast(pl.String).fill_null("-") for name in axes]
    told = [
        part if name in ("method", "topology") else name + pl.lit(" ") + part
        for name, part in zip(axes, parts, strict=True)
    ]
    line = pl.concat_str(told, separator=" · ") if told else pl.lit("all")
    runs = table.with_columns(line.alias("line"), pl.lit(True).alias("chosen"))
    named = [", ".join(map(str, table[one].unique(maintain_order=True).drop_nulls())) for one in ("task", "method")]
    return Subject("sweep", ": ".join(named), runs, config, (), tuple(axes), code=_code_of_sweep(config))


def of_advice(history: pl.DataFrame, config: dict[str, Any]) -> Subject:
    """What sites might do: the finalists with all seeds, the others with those that chose their step sizes."""
    runs = history.with_columns(pl.col("method").alias("line"), pl.col("tuned").alias("chosen"))
    return Subject("advice", str(config.get("title", "")), runs, config, (), code=_code_of_advice(config))


def of_result(history: pl.DataFrame, config: dict[str, Any]) -> Subject:
    """One simulation, with a line for each setting of what was tuned and each group."""
    settings = _settings(history, config.get("tune"))
    several = [name for name in (*settings, "group") if name in history.columns and history[name].n_unique() > 1]
    told = [pl.format(name + " {}", pl.col(name).cast(pl.String).fill_null("-")) for name in several]
    name = str(config.get("algorithm", ""))
    line = pl.concat_str(told, separator=" · ") if told else pl.lit(name)
    runs = history.with_columns(line.alias("line"), pl.lit(True).alias("chosen"))
    title = f"{name}, {config.get('task', '')}"
    code = _code_of_result(config)
    axes = tuple(one for one in several if one != "group")
    return Subject("result", title, runs, config, settings, axes, code=code, directions=_directions([config]))


def _settings(runs: pl.DataFrame, tune: Any) -> tuple[str, ...]:
    names = ["learning_rate", *(name for name in (tune if isinstance(tune, dict) else {}) if name != "learning_rate")]
    return tuple(name for name in names if name in runs.columns)


def _configs(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The configs of the methods of a comparison."""
    return [one for one in (config.get("methods") or {}).values() if isinstance(one, dict)]


def _directions(configs: Sequence[dict[str, Any]]) -> dict[str, bool]:
    known = all_directions()
    for one in configs:
        known |= one.get("higher_is_better") or {}
    return known


def _budget(config: dict[str, Any]) -> list[str]:
    budget = {**{name: config.get(name) for name in ("rounds", "gradients")}, **(config.get("budget") or {})}
    return [f"{name}={value}" for name, value in budget.items() if value is not None]


def _call(function: str, arguments: Sequence[str]) -> str:
    """A call with an argument a line, as a phone shows it."""
    return "\n".join([f"{function}(", *(f"    {one}," for one in arguments), ")"])


def _code_of_comparison(config: dict[str, Any], runs: pl.DataFrame) -> str:
    if isinstance(config.get("command"), str):
        return str(config["command"])
    every = next((one.get("eval_every") for one in _configs(config)), None)
    arguments = [
        *_budget(config),
        *([] if every is None else [f"eval_every={every}"]),
        f"tune={config.get('tune')}",
        f"seeds={config.get('seeds')}",
        f"seed={config.get('seed')}",
    ]
    if config.get("tune_seeds") not in (None, config.get("seeds")):
        arguments.append(f"tune_seeds={config['tune_seeds']}")
    if (target := (config.get("target") or {}).get("value")) is not None:
        arguments.append(f"target={target}")
    if config.get("network"):
        arguments.append("network=network")
    names = ", ".join(runs["method"].unique(maintain_order=True))
    made = f"# task: {config.get('title', '')}\n# methods: {names}\n"
    if "sizes" in config:
        call = _call("tj.scaling", ["methods", "make_task", f"nodes={config.get('nodes')}", *arguments])
        return f"import telejax as tj\n\n{made}scaling = {call}"
    return f"import telejax as tj\n\n{made}comparison = {_call('tj.compare', ['methods', 'task', *arguments])}"


def _code_of_advice(config: dict[str, Any]) -> str:
    asked = {"sites": None, **(config.get("asked") or {})}
    decided = asked.pop("decided", {})
    if isinstance(config.get("command"), str) and not decided:
        return str(config["command"])
    path = asked.pop("sites")
    made = "" if path else f"# sites: {config.get('title', '')}\n"
    arguments = [repr(path) if path else "sites", *(f"{name}={value!r}" for name, value in asked.items())]
    code = f"import telejax as tj\n\n{made}advice = {_call('tj.advise', arguments)}"
    if not decided:
        return code
    kinds = {"aim": "Aim", "prices": "Prices"}
    given = [
        f"tj.advice.{kinds[name]}({', '.join(f'{key}={value!r}' for key, value in values.items())})"
        for name, values in decided.items()
    ]
    return f"{code}\nadvice = {_call('advice.decide', given)}"


def _code_of_search(config: dict[str, Any]) -> str:
    if isinstance(config.get("command"), str):
        return str(config["command"])
    seeds = config.get("seeds") or [0]
    arguments = [
        f"topology={config.get('topology')!r}",
        "optimizer=optimizer",
        *_budget(config),
        f"tune={config.get('tune')}",
        f"objective={config.get('objective')!r}",
        f"tolerance={config.get('tolerance')}",
        f"seed={seeds[0]}",
        f"seeds={len(seeds)}",
    ]
    if tried := sorted({count for one in config.get("passes") or [] for count in one}):
        arguments.insert(2, f"candidates={tried}")
    if config.get("eval_every") is not None:
        arguments.append(f"eval_every={config['eval_every']}")
    if config.get("state_travels") is False:
        arguments.append("state_travels=False")
    made = f"# task: {config.get('task')}, {config.get('nodes')} nodes\n# optimizer: {config.get('optimizer')}\n"
    return f"import telejax as tj\n\n{made}found = {_call('tj.search', ['task', *arguments])}"


def _code_of_sweep(spec: dict[str, Any]) -> str:
    """The spec in TOML, from the flat names that a sweep keeps of it, and the command that runs it."""
    tables: dict[str, dict[str, list[Any]]] = {"": {}}
    for name, value in spec.items():
        if value is None or name.startswith("network.files.") or re.search(r"\.numbers\.|(^|\.)type$", name):
            continue
        place, _, entry = name.rpartition(".values.") if ".values." in name else name.rpartition(".")
        if entry.isdecimal():  # of a list outside of the tables, as seeds.0
            place, entry = "", place
        entry = re.sub(r"\.\d+$", "", entry).removeprefix("network.")
        tables.setdefault(place, {}).setdefault(entry, []).append(value)
    if files := networks(spec):
        tables.setdefault("network", {})["file"] = files
    text = []
    for place, entries in tables.items():
        head = "[[method]]" if place.startswith("methods.") else f"[{place}]"
        told = [
            f"{key} = {json.dumps(one[0] if len(one) == 1 and key != 'seeds' else one)}" for key, one in entries.items()
        ]
        text.append("\n".join([*([head] if place else []), *told]))
    return "\n\n".join(["# telejax sweep spec.toml --out FOLDER", *(one for one in text if one)]) if spec else ""


def networks(spec: dict[str, Any]) -> list[str]:
    """The files of networks in what a sweep keeps of its spec."""
    kept = [name for name, value in spec.items() if name.startswith("network.files.") and value == "Network"]
    return [name.removeprefix("network.files.").removesuffix(".type") for name in kept]


def _code_of_result(config: dict[str, Any]) -> str:
    drawn = "seeds" if config.get("seed") is None else "seed"
    given = [f"{name}={config[name]}" for name in ("eval_every", drawn, "tune") if config.get(name) is not None]
    given += [f"until={tuple(config['until'])}"] if config.get("until") else []
    given += [f"precision={config['precision']!r}"] if config.get("precision") else []
    given += [f"{name}={name}" for name in ("network", "metrics") if config.get(name)]
    given += ["state=state"] if config.get("start") is not None else []
    arguments = [*_budget(config), *given]
    told = {name: config.get(name) for name in ("task", "nodes", "privacy", "algorithm", "slots", "optimizer")}
    told["metrics"] = ", ".join(config.get("metrics") or []) or None
    told["state"] = None if config.get("start") is None else f"after {config['start']} rounds"
    made = "".join(f"# {name}: {value}\n" for name, value in told.items() if value is not None)
    return f"import telejax as tj\n\n{made}result = {_call('tj.simulate', ['algorithm', 'task', *arguments])}"
