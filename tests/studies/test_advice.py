"""Advice: what is decided from outcomes, and that it moves as common sense expects."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import telejax as tj
from telejax import advice
from telejax.network import links
from telejax.studies.advice.candidates import candidates, evenly
from telejax.studies.advice.decide import decide, objective
from telejax.studies.advice.outcome import Outcome
from telejax.studies.advice.runs import Trials

pytestmark = pytest.mark.usefixtures("compiled_fast")

PRICES = advice.Prices(site_hour=1.0, gigabyte=0.5, server=100.0)
ROUNDS = (0, 10, 20, 30, 40)


def outcome(name: str, kind: str, accuracies, *, seconds=1.0, gigabytes=1.0, noise=0.0, seeds=4, **changes) -> Outcome:
    """Runs of which all is known: accuracies at each evaluation, seconds and gigabytes a round."""
    rows = [
        {
            "seed": seed,
            "round": round,
            "accuracy_local": accuracy + noise * (seed - (seeds - 1) / 2),
            "accuracy_local_worst": accuracy - 0.1,
            "time": seconds * round,
            "bytes": 1e9 * gigabytes * round,
            "gradients": 3600 * round,
            "diverged": False,
        }
        for seed in range(seeds)
        for round, accuracy in zip(ROUNDS, accuracies, strict=True)
    ]
    made = Outcome(name, kind, 4, 12, 0.1, pl.DataFrame(rows), 4e9 * gigabytes, 2e9 * gigabytes, seconds=1.0)  # type: ignore[arg-type]
    return replace(made, **changes)


ALONE = outcome("alone", "alone", (0.1, 0.5, 0.6, 0.7, 0.7), gigabytes=0.0, load=0.0, load_mean=0.0)
FAST = outcome("fast", "together", (0.1, 0.85, 0.91, 0.92, 0.92), gigabytes=5.0)
THRIFTY = outcome("thrifty", "representatives", (0.1, 0.5, 0.8, 0.91, 0.92), seconds=600.0, gigabytes=0.1)
SERVED = outcome("served", "server", (0.1, 0.6, 0.91, 0.92, 0.93), seconds=60.0, gigabytes=0.2)
ALL = [ALONE, FAST, THRIFTY, SERVED]


def test_what_is_told_of_an_outcome_is_worked_out_by_hand():
    at = SERVED.at(20)
    assert (at["accuracy"], at["worst"]) == pytest.approx((0.91, 0.81))
    assert (at["seconds"], at["bytes"], at["site_hours"]) == pytest.approx((1200, 4e9, 20))
    assert at["load"] == pytest.approx(0.2 * (2e9 * 0.5 + 2e9 * 0.5**0.5))
    aim = advice.Aim(accuracy=0.9, gigabytes_a_day=0.1)
    costs = SERVED.costs(at, aim, PRICES)
    assert costs["cost"] == pytest.approx(20 * 1.0 + 4 * 0.5 + 100)
    days = at["load"] / 0.1e9 - 1  # the first day's share is sent at once
    assert costs["hours"] == pytest.approx(24 * days) and costs["gigabytes"] == pytest.approx(4)
    assert SERVED.costs(at, advice.Aim(accuracy=0.9, gigabytes_a_day=10.0), None)["hours"] == pytest.approx(1 / 3)


def test_an_aim_is_reached_where_two_deviations_below_the_mean_are_at_two_measurements():
    aim = advice.Aim(accuracy=0.9)
    assert SERVED.reached(aim) == 20 and ALONE.reached(aim) is None
    std = np.std(np.arange(4) - 1.5, ddof=1)
    noisy = outcome("noisy", "together", (0.1, 0.91, 0.91, 0.91, 0.91), noise=0.01 / (2 * std) * 0.99)
    assert noisy.reached(aim) == 10
    assert outcome("noisy", "together", (0.1,) + (0.91,) * 4, noise=0.01 / (2 * std) * 1.01).reached(aim) is None
    dips = outcome("dips", "together", (0.1, 0.95, 0.5, 0.95, 0.95))
    assert dips.reached(aim) == 30 and dips.reached(advice.Aim(worst=0.86)) is None


def test_the_least_objective_of_what_meets_the_aim_is_recommended_and_alone_wherever_that_does():
    aim = advice.Aim(accuracy=0.9)
    by = {least: decide(ALL, replace(aim, least=least), PRICES).recommended for least in ("cost", "time", "bytes")}
    assert by == {"time": "fast", "cost": "thrifty", "bytes": "thrifty"}
    assert decide(ALL, advice.Aim(accuracy=0.65), PRICES).recommended == "alone"
    assert [objective(aim, one) for one in (PRICES, None)] == ["cost", "time"]
    assert objective(replace(aim, hours=1.0), None) == "bytes"


def test_what_nothing_reaches_has_a_nearest():
    decision = decide(ALL, advice.Aim(accuracy=0.96), None)
    assert decision.recommended is None and decision.nearest == "served"
    assert decision.table.row(0, named=True)["misses"] == ["accuracy"]
    late = decide([THRIFTY, SERVED], advice.Aim(accuracy=0.9, hours=0.1), None)
    assert late.recommended is None and late.nearest == "served" and late.table["misses"][0].to_list() == ["hours"]


def test_runs_that_were_cut_are_whole_for_a_higher_aim():
    cut = FAST.until(20, FAST)
    low, high = advice.Aim(accuracy=0.9), advice.Aim(accuracy=0.915)
    assert cut.rounds == [10, 20] and cut.reaching(low) is cut and cut.reached(high) is None
    assert cut.reaching(high) is FAST and FAST.reaching(high) is FAST
    assert decide([ALONE, cut.reaching(high)], high, None).recommended == "fast"


def test_the_pareto_front_holds_what_nothing_beats_in_everything():
    beaten = outcome("beaten", "together", (0.1, 0.85, 0.91, 0.92, 0.92), seconds=2.0, gigabytes=6.0)
    table = decide([*ALL, beaten], advice.Aim(accuracy=0.9), PRICES).table
    assert dict(table.select("name", "pareto").rows()) == {
        **dict.fromkeys(["alone", "fast", "thrifty", "served"], True),
        "beaten": False,
    }


def test_diverged_runs_are_never_recommended():
    rows = FAST.history.with_columns(pl.lit(True).alias("diverged"))
    table = decide([replace(FAST, history=rows), SERVED], advice.Aim(accuracy=0.9, least="time"), PRICES).table
    assert table["name"].to_list() == ["served", "fast"] and table["meets"].to_list() == [True, False]


def test_candidates_suit_the_number_of_sites():
    few, left_out = candidates(12, server=True)
    assert left_out == {} and {one.kind for one in few} == {"alone", "together", "representatives", "server"}
    many, left_out = candidates(5000, server=False)
    assert {one.kind for one in many} == {"alone", "representatives"}
    assert {*left_out.values()} == {"too_many", "no_server"}
    own, _ = candidates(12, server=False, methods=["teleportation:active=3/ring"])
    assert [one.name for one in own] == ["local training", "TELEPORTATION ring k=3"]
    with pytest.raises(ValueError, match="did you mean 'teleportation'"):
        candidates(12, server=False, methods=["teleportatoin/ring"])
    assert evenly(10, 3).tolist() == [0, 4, 9] and evenly(2, 5).tolist() == [0, 1]


# What follows is simulated.

GROUPS = [
    advice.Group(count=8, samples=40, latency=0.02, bandwidth=1e5, seconds=0.2, name="near", spread=0.3),
    advice.Group(count=4, samples=20, labels=[0, 1, 2], latency=0.2, bandwidth=3e4, seconds=0.5, away=0.1),
]
DATA = advice.Data(classes=5, features=8, spread=0.7, alpha=1.0)
SITES = advice.Sites(GROUPS, advice.Aim(accuracy=0.9), DATA, prices=PRICES, server=links.uniform(0.01, 1e6))
METHODS = ["dsgd/ring", "teleportation:active=4/ring", "fedavg:clients=4,local_steps=4"]


@pytest.fixture(scope="module")
def found() -> advice.Advice:
    return tj.advise(SITES, methods=METHODS, seeds=4, progress=False)


@pytest.mark.slow
def test_the_recommended_meets_the_aim_with_other_seeds(found):
    assert found.recommended is not None and found.best["kind"] != "alone"
    checked = found.check(seeds=10)
    assert checked["meets"].sum() >= 9
    assert found.pilot is not None and found.pilot.sites < SITES.nodes
    assert found.stress.keys() == {"away", "lying", "lost"}
    assert found.stress["lying"].at(found.best["rounds"])["accuracy"] < found.best["accuracy"]


@pytest.mark.slow
def test_it_moves_as_common_sense_expects(found):
    """Six pairs: of each, the second aim or price is harder in one thing."""
    aim = SITES.aim
    costs = lambda row: {**row, "site_hours": 0.0}
    by = lambda aim, prices=None: costs(found.decide(aim, prices).best)
    hard = advice.Aim(accuracy=0.9, least="bytes")
    # a lower accuracy: each alone is enough
    alone = found.table.filter(pl.col("kind") == "alone").row(0, named=True)["accuracy_low"]
    assert by(advice.Aim(accuracy=0.8 * alone))["kind"] == "alone" != by(aim)["kind"]
    # dear traffic: less of it
    dear, cheap = (by(aim, advice.Prices(site_hour=1.0, gigabyte=price, server=0.0)) for price in (1e6, 0.0))
    assert dear["gigabytes"] <= cheap["gigabytes"] and dear["name"] == by(hard)["name"]
    # a tighter deadline: sooner
    hours = by(hard)["hours"]
    tight = found.decide(replace(hard, hours=0.99 * hours))
    assert tight.recommended is None or tight.best["hours"] < hours <= by(replace(hard, hours=1.01 * hours))["hours"]
    # a dear server: none; a server for nothing and dear traffic: that
    assert by(aim, advice.Prices(gigabyte=1.0, server=1e6))["kind"] != "server"
    served = found.decide(aim, advice.Prices(gigabyte=1.0)).table.filter(pl.col("kind") == "server")
    assert (
        served["cost"][0]
        < found.decide(aim, advice.Prices(gigabyte=1.0, server=1.0)).table.filter(pl.col("kind") == "server")["cost"][0]
    )
    # a higher accuracy: more rounds of the same candidate
    rounds = lambda goal: {
        row["name"]: row["rounds"] for row in found.decide(advice.Aim(accuracy=goal)).table.to_dicts()
    }
    assert all(rounds(0.85)[name] <= rounds(0.92)[name] for name in rounds(0.85))
    # fewer gigabytes a day: later
    assert by(replace(aim, gigabytes_a_day=1e-9))["hours"] > by(aim)["hours"]


@pytest.mark.slow
def test_faster_lines_make_it_sooner():
    faster = [replace(one, bandwidth=100 * one.bandwidth, latency=0.0) for one in GROUPS]
    one = candidates(SITES.nodes, True, METHODS[:1])[0][1]
    slow, fast = (Trials(replace(SITES, groups=groups)).run(one, [0], 8, [0.3]) for groups in (GROUPS, faster))
    assert fast.at(8)["seconds"] < 0.9 * slow.at(8)["seconds"]
    assert fast.at(8)["bytes"] == slow.at(8)["bytes"]


@pytest.mark.slow
def test_a_larger_model_sends_more_and_takes_longer_and_learns_the_same():
    one = candidates(SITES.nodes, True, METHODS[:1])[0][1]
    small = Trials(SITES)
    large = Trials(replace(SITES, model=advice.Learner(bytes=1e6)))
    here, there = (trials.run(one, [0], 8, [0.3]).at(8) for trials in (small, large))
    assert there["accuracy"] == here["accuracy"] and there["seconds"] > 2 * here["seconds"]
    assert there["bytes"] / here["bytes"] == pytest.approx(large.scale)


@pytest.mark.slow
def test_it_is_printed_drawn_saved_and_reported(found, tmp_path):
    folder = found.save(tmp_path / "advice")
    assert {one.name for one in folder.iterdir() if one.name != ".telejax"} == {
        *("SHA256SUMS", "advice.png", "config.json", "history.parquet", "table.csv")
    }
    told = json.loads((folder / "config.json").read_text())["advice"]
    assert told["recommended"] == found.recommended in found.sentence()
    assert len(pl.read_csv(folder / "table.csv")) == found.table.height
    text = str(found.report(language="en"))
    for words in ("Should we?", "With how many?", "At what cost?", "What could go wrong?", found.recommended):
        assert words in text
    assert "導入すべきか" in str(found.report(language="ja"))
    with pytest.raises(FileExistsError):
        found.save(folder)


@pytest.mark.slow
def test_what_was_not_simulated_is_said(found):
    assert found.unseen() == ""
    fewer = replace(found, left_out={"FedAvg k=4": "no_server", "all-reduce": "too_many"})
    assert fewer.unseen() == "Not simulated: FedAvg k=4 (without a server), all-reduce (with so many sites)"


@pytest.mark.slow
def test_what_was_asked_can_be_asked_again(found, monkeypatch):
    """The printed call gives the arguments of the advice, and a later decision."""
    aim, prices = advice.Aim(accuracy=0.8, least="time"), advice.Prices(gigabyte=2.0)
    calls = []
    monkeypatch.setattr(tj, "advise", lambda *given, **named: calls.append((given, named)) or found)
    asked = {"methods": METHODS, "seeds": 4, "seed": 0}
    names = {"sites": SITES}
    exec(found._subject().code, names)
    exec(found.decide(aim, prices).decide(aim)._subject().code, names)
    assert calls == 2 * [((SITES,), asked)]
    assert names["advice"].trials.sites == replace(SITES, aim=aim, prices=prices)
    of_file = replace(found, asked={**found.asked, "sites": "sites.toml"})
    exec(of_file._subject().code, {})
    assert calls[-1] == (("sites.toml",), asked)
    by_command = replace(found, command={"command": "telejax advise sites.toml"})
    assert by_command._subject().code == "telejax advise sites.toml"
    assert "Aim(accuracy=0.8, least='time')" in by_command.decide(aim)._subject().code


@pytest.mark.slow
def test_what_cannot_be_advised_is_refused(found):
    with pytest.raises(ValueError, match="sites is 3; give"):
        tj.advise(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seeds is 1; give"):
        tj.advise(SITES, seeds=1)
    with pytest.raises(ValueError, match="there are no prices; give prices"):
        found.decide(advice.Aim(accuracy=0.9, cost=3.0), None) if SITES.prices is None else replace(
            SITES, prices=None, aim=advice.Aim(accuracy=0.9, cost=3.0)
        )
    unreached = found.decide(advice.Aim(accuracy=1.0))
    assert unreached.recommended is None and "comes nearest" in unreached.sentence()
    with pytest.raises(ValueError, match="nothing reaches the aim"):
        unreached.check()
    assert unreached.report() and not unreached.pays
