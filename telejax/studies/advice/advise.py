"""From what is known of sites to a recommendation: simulate what they might do, decide, and try a pilot."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from telejax.backend.bars import progress_bar
from telejax.backend.threads import in_threads
from telejax.errors import check_flag, check_integer, check_kind, is_kind
from telejax.network import attacks
from telejax.network.adversary import adversary
from telejax.studies.advice.advice import Advice
from telejax.studies.advice.candidates import Candidate, candidates, evenly
from telejax.studies.advice.decide import Decision, decide
from telejax.studies.advice.outcome import Outcome
from telejax.studies.advice.runs import EVALUATIONS, Trials
from telejax.studies.advice.site_file import read_sites
from telejax.studies.advice.sites import Sites

FINALISTS = 4
"""Candidates that are simulated with all seeds, beside training alone and the best of each other kind."""
LONGER = 2.5
"""Rounds of a finalist by those that it needed."""
FIRST_SEED = 100
"""Of the seeds with which finalists run: none of those by which their step sizes were chosen."""
PILOT, SMALLEST = 0.1, 3
"""Share of the sites in a pilot, and how many at least."""
AWAY, LYING, LOST = 0.2, 0.05, 0.1
"""Of the sites, or of the messages, that go wrong beyond what is known."""
AT_ONCE = 2


def advise(
    sites: Sites | str | os.PathLike[str],
    *,
    methods: Sequence[str] | None = None,
    seeds: int = 8,
    seed: int = 0,
    progress: bool = True,
) -> Advice:
    """Should sites train together, how, and at what cost?

    Simulates on the network of the sites what they might do: train alone, with a server, all with all, or a few
    representatives at a time (TELEPORTATION), with several graphs and numbers of active sites. Every step size of one
    grid is tried with four seeds; the best candidates then run with ``seeds`` others. What reaches the aim with every
    seed, and by two standard deviations over seeds on average, is recommended where it costs least. A pilot of it with
    a tenth of the sites is simulated, and what happens when more sites leave, some lie, or messages are lost. Bringing
    the last models to the sites that hold none is counted.

    Args:
        sites: what is known of them, see ``telejax.advice.Sites``; or the path of a site file.
        methods: as ``telejax compare`` names them, in place of those that are usual; training alone is always there.
        seeds: of each finalist, at least 2.
        seed: the first of them, beyond those that choose step sizes.
        progress: show the progress and the time left.

    Raises:
        ValueError: sites that are none, a site file with something wrong in it (file, line and key), fewer seeds.

    >>> from telejax import advice
    >>> shops = advice.Group(count=8, samples=40, latency=0.02, bandwidth=1e6, seconds=0.1, labels=[0, 1, 2])
    >>> sites = advice.Sites([shops], advice.Aim(accuracy=0.5))
    >>> advise(sites, methods=["local_training"], seeds=2, progress=False).recommended
    'local training'
    """
    path = None
    if is_kind(sites, str | os.PathLike):
        path, sites = os.fspath(sites), read_sites(sites, argument="sites")
    check_kind("sites", sites, Sites, "give telejax.advice.Sites(...), or the path of a site file")
    seeds = check_integer("seeds", seeds, minimum=2, maximum=64)
    seed = check_integer("seed", seed, minimum=0, maximum=2**31)
    check_flag("progress", progress)
    asked, left_out = candidates(sites.nodes, sites.server is not None, methods)
    trials, numbers = Trials(sites), range(FIRST_SEED + seed, FIRST_SEED + seed + seeds)
    _ = trials.whole  # so that data are read once, and refused before anything is simulated
    work = len(asked) + FINALISTS + 4
    with progress_bar(total=work, desc="advise", unit="simulation", show=progress, delay=2.0) as bar:
        tried = _each(trials.tried, asked, bar)
        by_name = dict(zip([one.name for one in asked], asked, strict=True))
        chosen = _finalists(tried, decide(tried, sites.aim, sites.prices))
        finalist = lambda one: _with_all_seeds(trials, by_name[one.name], one, numbers)
        final = _each(finalist, chosen, bar)
        final, decision = _settled(trials, by_name, final, numbers)
        known = dict(zip([one.name for one in final], final, strict=True))
        pilot: Outcome | None = None
        stress: dict[str, Outcome] = {}
        if decision.recommended is not None and known[decision.recommended].kind != "alone":
            one = by_name[decision.recommended]
            pilot, stress = _proved(trials, one, known[one.name], decision, numbers, bar)
        bar.update(work - bar.n)
    others = [one for one in tried if one.name not in known]
    given = {"sites": path, "methods": None if methods is None else [*methods], "seeds": seeds, "seed": seed}
    return Advice(trials, by_name, final, others, decision, left_out, pilot, stress, given)


def _each(function: Callable[[Any], Outcome], items: Sequence[Any], bar: Any) -> list[Outcome]:
    """In threads, as while one compiles another runs; the progress is told."""

    def one(item: Any) -> Outcome:
        made = function(item)
        bar.update(1)
        return made

    return in_threads(one, items, AT_ONCE)


def _finalists(tried: Sequence[Outcome], first: Decision) -> list[Outcome]:
    """Those that may be recommended, training alone, and the best of each other kind to compare with."""
    names = first.table["name"].to_list()
    kinds = dict(zip(names, first.table["kind"].to_list(), strict=True))
    best = names[:FINALISTS]
    for kind in ("alone", "server", "representatives", "together"):
        best += [name for name in names if kinds[name] == kind][:1]
    found = {one.name: one for one in tried}
    return [found[name] for name in dict.fromkeys(best)]


def _with_all_seeds(trials: Trials, candidate: Candidate, tried: Outcome, seeds: Sequence[int]) -> Outcome:
    """A finalist at its step size."""
    needed = tried.reached(trials.sites.aim)
    most = tried.rounds[-1] if needed is None else int(LONGER * needed) + EVALUATIONS
    rounds = trials.longest(candidate, tried, most)
    return trials.run(candidate, seeds, rounds, [tried.learning_rate])


def _settled(
    trials: Trials, candidates: Mapping[str, Candidate], final: Sequence[Outcome], seeds: Sequence[int]
) -> tuple[list[Outcome], Decision]:
    """The decision, once what is recommended is known to the byte: its load is counted until the aim is reached.

    That of the others is reckoned from the end of longer runs.
    """
    known, exact = {one.name: one for one in final}, set()
    while True:
        decision = decide(list(known.values()), trials.sites.aim, trials.sites.prices)
        name = decision.recommended
        if name is None or name in exact or known[name].kind == "alone":
            return list(known.values()), decision
        round = int(decision.table.row(0, named=True)["rounds"])
        counted = trials.run(candidates[name], seeds, round, [known[name].learning_rate], evaluations=1)
        known[name] = known[name].until(round, counted)
        exact.add(name)


def _proved(
    trials: Trials, candidate: Candidate, outcome: Outcome, decision: Decision, seeds: Sequence[int], bar: Any
) -> tuple[Outcome, dict[str, Outcome]]:
    """A pilot of what is recommended, and what becomes of it when things go wrong."""
    rounds = int(decision.table.row(0, named=True)["rounds"])
    everybody, scale, nodes = trials.everybody, trials.scale, trials.sites.nodes
    usual = trials.sites.network(everybody, scale)
    liars = evenly(nodes, max(1, round(LYING * nodes)))
    lost = 1 - (1 - float(usual.loss or 0)) * (1 - LOST)
    worlds = {
        "away": trials.sites.network(everybody, scale, away=AWAY),
        "lying": replace(usual, adversary=adversary(attacks.sign_flip(), nodes=liars)),
        "lost": replace(usual, loss=lost),
    }
    working = 0 if candidate.kind == "together" else outcome.active
    few = evenly(nodes, max(SMALLEST, working, int(np.ceil(PILOT * nodes))))
    rate = [outcome.learning_rate]
    jobs = {"pilot": lambda: trials.run(candidate, seeds, rounds, rate, few, evaluations=1)}
    for name, world in worlds.items():
        jobs[name] = lambda world=world: trials.run(  # type: ignore[misc]
            candidate, seeds, rounds, rate, None, world, evaluations=1
        )
    found = dict(zip(jobs, _each(lambda job: job(), list(jobs.values()), bar), strict=True))
    return found.pop("pilot"), found
