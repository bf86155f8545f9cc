"""Claims of other papers whose figures fall out of the same engine, and what telejax itself claims to agree with."""

import isotropic_quadratics
import moments
import polars as pl
import spectral_gap
import torch_loop
from claims import Claim, Standing, committed, error_between, pm

FAR = 4.0
"""Standard errors that a mean may lie off."""


def base_graphs_consensus() -> Claim:
    table = committed("graphs_consensus")
    base = table.filter(pl.col("graph").str.contains("base")).with_columns(
        pl.col("graph").str.extract(r"degree=(\d+)").cast(pl.Int64).alias("asked")
    )
    missed = base.filter(pl.col("exact").is_null() | (pl.col("degree") > pl.col("asked")))
    most = base.group_by("asked").agg(pl.col("exact").max()).sort("asked")
    one_peer = table.filter(graph="one_peer_exponential")
    exact = one_peer.drop_nulls("exact")["nodes"].sort().to_list()
    told = (
        f"Base-(k+1) and Simple Base-(k+1) graphs reach exact consensus at a degree of at most k in "
        f"{base.height - missed.height} of {base.height} cases, n = {table['nodes'].min()} to {table['nodes'].max()}: at "
        f"most {', '.join(f'{rounds} rounds for k = {k}' for k, rounds in most.select('asked', 'exact').rows())}.",
        f"The one-peer exponential graph does at n = {', '.join(map(str, exact))} alone, of {one_peer.height} sizes.",
    )
    standing: Standing = "held" if missed.is_empty() else "held only in part"
    text = "Base-(k+1) graphs reach exact consensus in finitely many rounds, for any n at degree k"
    return Claim(text, "Takezawa et al. 2023, arXiv 2305.11420", standing, told, "graphs_consensus")


def base_graphs_accuracy() -> Claim:
    table = committed("graphs_accuracy")
    told, fine = [], []
    for (nodes,), part in table.group_by("nodes", maintain_order=True):
        of = {row["graph"]: row for row in part.rows(named=True)}
        pairs = (("base:degree=1", "one_peer_exponential"), ("base:degree=2", "ring"), ("base:degree=4", "exponential"))
        for ours, theirs in pairs:
            a, b = of[ours], of[theirs]
            fine.append(a["accuracy_slots"] > b["accuracy_slots"] - 2 * error_between(a, b))
            told.append(
                f"n = {nodes}: {ours} {pm(a['accuracy_slots'], a['accuracy_slots_se'])} with {a['messages']:.1f} messages a "
                f"node and round, {theirs} {pm(b['accuracy_slots'], b['accuracy_slots_se'])} with {b['messages']:.1f} (slots)."
            )
    standing: Standing = "held" if all(fine) else "held only in part" if any(fine) else "not held"
    text = "DSGD on Base-(k+1) graphs is at least as accurate as on graphs of the same or a larger degree"
    return Claim(text, "Takezawa et al. 2023, arXiv 2305.11420", standing, tuple(told), "graphs_accuracy")


def equitopo_consensus() -> Claim:
    table = committed("graphs_consensus")
    told, fine = [], []
    for graph in ("od_equidyn", "ou_equidyn", "d_equistatic", "u_equistatic", "ring", "torus"):
        part = table.filter(graph=graph).sort("nodes")
        small, large = part.row(0, named=True), part.row(-1, named=True)
        if "equi" in graph:
            fine.append(part["left"].max() < 0.7)
        told.append(
            f"{graph}: a round leaves {small['left']:.2f} of the consensus distance at n = {small['nodes']}, "
            f"{large['left']:.2f} at n = {large['nodes']}; at most {part['left'].max():.2f} at any n (degree "
            f"{part['degree'].min()} to {part['degree'].max()})."
        )
    standing: Standing = "held" if all(fine) else "held only in part"
    text = "EquiTopo's consensus rate does not depend on n, at degree one (equidyn) or of about log n (equistatic)"
    return Claim(text, "Song et al. 2022, arXiv 2210.07881", standing, tuple(told), "graphs_consensus")


def beyond_spectral_gap() -> Claim:
    table = committed("isotropic_quadratics")
    off = (table["rate"] - table["rate_by_neighbours"]).abs().max()
    best = isotropic_quadratics.marked(table).filter("best").sort("rate")
    order = "; ".join(
        f"{row['graph']} {row['learning_rate']:g} (rate {row['rate']:.2f}, n_W {row['neighbours']:.1f}, "
        f"p {row['consensus_rate']:.3f})"
        for row in best.rows(named=True)
    )
    least = table["learning_rate"].min()
    ring, all_ = (table.filter(graph=graph, learning_rate=least).row(0, named=True) for graph in ("ring", "complete"))
    told = (
        f"The rate by n_W equals that of the exact recursion to {max(off, 1e-6):.0e} at {table.height} graphs and step sizes.",
        f"The means of {isotropic_quadratics.Settings().runs:,} runs lie at most {table['off'].abs().max():.1f} standard errors from the recursion.",
        f"Best step size of each graph: {order}.",
        f"At step size {least:g} the ring is worth {ring['neighbours']:.0f} nodes and takes {ring['rate']:.4f} a round, the complete graph {all_['rate']:.4f}, though its consensus rate is {all_['consensus_rate'] / ring['consensus_rate']:.0f} times that of the ring.",
    )
    fine = off < 1e-3 and table["off"].abs().max() < FAR
    text = (
        "The effective number of neighbours, not the spectral gap, says how fast DSGD goes and which step size it bears"
    )
    source = "Vogels, Hendrikx, Jaggi 2022, arXiv 2206.03093"
    return Claim(text, source, "held" if fine else "held only in part", told, "isotropic_quadratics")


def rounds_in_p() -> Claim:
    slopes = spectral_gap.slopes(committed("spectral_gap")).drop_nulls("slope")
    moved = slopes.filter(pl.col("slope") > 0.05)
    told = [
        f"{row['setting']}, {row['metric']} to {row['target']:g} of the start: rounds grow as (1/p)^{row['slope']:.2f}, and as "
        f"(1/p)^{row['slope_slowest']:.2f} over the three slowest."
        for row in moved.rows(named=True)
    ]
    heterogeneous = moved.filter(setting="heterogeneity alone")["slope_slowest"]
    noisy = moved.filter(setting="noise alone")["slope_slowest"]
    told.append(f"In {slopes.height - moved.height} easy cases the mean model is there before the graph matters.")
    fine = bool((heterogeneous - 1).abs().max() < 0.15)
    half = bool(noisy.max() < 0.6)
    if not half:
        told.insert(
            0, f"With noise alone the exponent is up to {noisy.max():.2f}, above the 1/2 of the bound's middle term."
        )
    text = "Rounds of DSGD grow as 1/p with heterogeneity, as 1/sqrt(p) with noise alone"
    standing: Standing = "held" if fine and half else "held only in part" if fine or half else "not held"
    return Claim(text, "Koloskova et al. 2020, arXiv 2003.10422", standing, tuple(told), "spectral_gap")


def exact_moments() -> Claim:
    rows = committed("moments")
    far = moments.farthest(rows)
    told = [
        f"{row['setting']}: {row['comparisons']} comparisons, at most {row['farthest (standard errors)']:.2f} standard errors."
        for row in far.rows(named=True)
    ]
    standing: Standing = "held" if rows["off"].abs().max() < FAR and far.height == 6 else "held only in part"
    text = "telejax's exact moments are those of its simulations (10,000 runs, 4 standard errors)"
    return Claim(text, "telejax", standing, tuple(told), "moments")


def same_as_torch() -> Claim:
    table = torch_loop.compared(committed("torch_loop"))
    told = tuple(
        f"{row['score']}: telejax {row['telejax']:.4f}, torch {row['torch']:.4f}, difference "
        f"{pm(row['difference'], row['se'], 4)} ({row['off']:+.2f} standard errors)."
        for row in table.rows(named=True)
    )
    standing: Standing = "held" if table["off"].abs().max() < 2 else "not held"
    text = "A run of 25 LeNets ends where an independent PyTorch loop does (300 rounds, 5 seeds, 2 standard errors)"
    return Claim(text, "telejax", standing, told, "torch_loop")


CLAIMS = (
    base_graphs_consensus,
    base_graphs_accuracy,
    equitopo_consensus,
    beyond_spectral_gap,
    rounds_in_p,
    exact_moments,
    same_as_torch,
)
