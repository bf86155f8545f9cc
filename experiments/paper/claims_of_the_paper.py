"""The claims of the TELEPORTATION paper and of the article about it, judged by the committed tables."""

import itertools

import algorithm_2
import polars as pl
import rates
import section_5_1
import section_5_2
import section_5_3
from claims import Claim, Standing, committed, error_between, pm

SAME = 1.1
"""Two rates are the same where one is at most a tenth larger."""
LITTLE = 0.2
"""What changes by less than a fifth is changed little."""
PAPER = "The paper"


def not_degraded() -> Claim:
    table = committed("rates")
    ours = table.filter(pl.col("method") == "TELEPORTATION ring", pl.col("nodes") >= 64, part="nodes").sort("nodes")
    ratio = ours["theorem"].max() / ours["theorem"].min()
    told = [
        f"With k = 16 on a ring the mean squared gradient over 400 rounds is {ours['theorem'][0]:.3f} at n = 64 and "
        f"{ours['theorem'][-1]:.3f} at n = {ours['nodes'][-1]:,}, step sizes tuned for each n: the largest is "
        f"{ratio:.2f} times the smallest (exact moments, no sampling noise)."
    ]
    for part, words in (("sorted", "where neighbours have alike data"), ("nodes", "where nodes are shuffled")):
        for graph in ("ring", "exponential"):
            dsgd = table.filter(part=part, method=f"DSGD {graph}").sort("nodes")
            low, high = dsgd.row(0, named=True), dsgd.row(-1, named=True)
            told.append(
                f"DSGD on a graph of kind {graph}, {words}: {low['theorem']:.3f} at n = {low['nodes']}, "
                f"{high['theorem']:.3f} at n = {high['nodes']}."
            )
    standing: Standing = "held" if ratio < SAME else "not held"
    return Claim(
        "The rate does not degrade with the number of nodes", f"{PAPER}, Theorem 1", standing, (*told,), "rates"
    )


def rate_in_rounds() -> Claim:
    table = committed("rates")
    by_rounds = rates.slope(table.filter(part="rounds"), "rounds", "theorem")
    few = table.filter(pl.col("active") <= 64, part="active")
    by_active, by_end = rates.slope(few, "active", "theorem"), rates.slope(few, "active", "loss")
    rounds = (
        f"In the number of rounds, 100 to 1600, the mean squared gradient goes as T^{by_rounds:.2f} (claimed: -0.5)."
    )
    active = (
        f"In the number of active nodes, 1 to 64, it goes as k^{by_active:.2f} (claimed: -0.5), and the loss of the mean "
        f"model after 400 rounds as k^{by_end:.2f}: a linear speed-up."
    )
    fine = abs(by_rounds + 0.5) < 0.1 and abs(by_active + 0.5) < 0.1
    standing: Standing = "held" if fine else "held only in part"
    source = f"{PAPER}, Theorem 1"
    return Claim(
        "The rate is that of 1 / sqrt(k T): a linear speed-up in k", source, standing, (rounds, active), "rates"
    )


def more_nodes_help() -> Claim:
    table = committed("rates").filter(part="help")
    best = table.group_by("nodes").agg(pl.col("theorem", "loss", "loss_slots").min()).sort("nodes")
    most = table["active"].max()
    tried, beyond = best.filter(pl.col("nodes") <= most), best.filter(pl.col("nodes") > most)
    told, monotone = [], []
    for column, words in (("loss", "the mean model"), ("loss_slots", "the slots' own models")):
        values, least = tried[column].to_list(), tried.sort(column).row(0, named=True)
        monotone.append(all(later <= before for before, later in itertools.pairwise(values)))
        shown = ", ".join(f"{row['nodes']}: {row[column]:.4f}" for row in tried.rows(named=True))
        where = "" if monotone[-1] else f" It is least at n = {least['nodes']}."
        told.append(f"Loss of {words} after 400 rounds at the best k of 1 to n, by n: {shown}.{where}")
        if beyond.height:
            told.append(
                f"Beyond, with k up to {most}, it is {beyond[column].min():.4f} to {beyond[column].max():.4f} up to n = {beyond['nodes'][-1]:,}: fresh holders add heterogeneity as noise, which k = n does not have."
            )
    standing: Standing = "held" if all(monotone) else "held only in part" if any(monotone) else "not held"
    return Claim("More nodes consistently help", PAPER, standing, tuple(told), "rates")


def search() -> Claim:
    table = committed("algorithm_2")
    most = table["search_rounds"].max() / algorithm_2.ROUNDS
    quadratics, digits = table.filter(pl.col("task") != "digits"), table.filter(task="digits")
    told = [
        f"The search over all powers of two up to n took at most {most:.2g} T rounds in {table.height} problems.",
        f"The k it recommends is as good as the best of an exhaustive grid in {quadratics['chosen_ok'].sum()} of "
        f"{quadratics.height} quadratics (asked: 18 of 20) and {digits['chosen_ok'].sum()} of {digits.height} digits; "
        f"the k of exact moments in {quadratics['exact_ok'].sum()} (asked: 18).",
        f"tj.auto, which searches while it trains, ends within a tenth of the best after 1.3 T rounds in "
        f"{quadratics['auto_ok'].sum()} of {quadratics.height} quadratics (asked: 17) and {digits['auto_ok'].sum()} of "
        f"{digits.height} digits, with {share(table):.0%} of the gradients of the search.",
    ]
    fine = most <= 2 and table["chosen_ok"].mean() >= 0.9
    if quadratics["auto_ok"].sum() < 0.85 * quadratics.height:
        failed = quadratics.filter(~pl.col("auto_ok"))
        sizes = ", ".join(f"n = {n} ({k})" for n, k in failed["nodes"].value_counts(sort=True).rows())
        told.append(f"auto misses at {sizes}.")
    return Claim(
        "A search finds a good k within 2 T rounds",
        f"{PAPER}, Algorithm 2",
        "held" if fine else "held only in part",
        tuple(told),
        "algorithm_2",
    )


def share(table: pl.DataFrame) -> float:
    """Gradients of auto by those of the search."""
    return float(table["auto_gradients"].sum() / table["search_gradients"].sum())


def fewer_rounds() -> Claim:
    rows = committed("section_5_1")
    cells, done = len(list(section_5_1.points(section_5_1.Settings()))), rows.n_unique(section_5_1.KEYS)
    verdicts, told = section_5_1.verdicts(rows), [f"{done:,} of {cells:,} points are computed."] * (done < cells)
    for (problem, metric), part in verdicts.group_by("problem", "metric", maintain_order=True):
        counts = {name: int(part[name].sum()) for name in ("fewer", "as many", "more", "neither")}
        whose = {"loss": "mean model", "loss_slots": "slots' own models"}[str(metric)]
        shown = ", ".join(f"{name} in {count}" for name, count in counts.items())
        sizes = rows.filter(pl.col("method") == "dsgd", problem=problem)["nodes"]
        told.append(
            f"{problem}, {whose}, n = {sizes.min()} to {sizes.max()}: TELEPORTATION at its searched k needs {shown}."
        )
    worst = verdicts.filter(pl.col("more") > 0).sort("more", descending=True)
    where = "; ".join(
        f"{row['problem']}, {row['setting']}, {row['topology']}, {row['metric']} ({row['more']})"
        for row in worst.head(6).rows(named=True)
    )
    if where:
        told.append(f"More rounds than DSGD on the same kind of graph: {where}.")
    flat = section_5_1.compared(rows).filter(pl.col("nodes") > section_5_1.DSGD_UP_TO)
    if flat.height:
        told.append(
            f"At n = {flat['nodes'].min():,} to {flat['nodes'].max():,}, where DSGD was not run, its rounds are "
            f"{flat['rounds_searched'].min():.0f} to {flat['rounds_searched'].max():.0f}."
        )
    told.append(f"Grid: {section_5_1.edges(rows)}.")
    more, fewer = verdicts["more"].sum(), verdicts["fewer"].sum()
    standing: Standing = "held" if not more else "held only in part" if fewer > more else "not held"
    text = "Fewer rounds than DSGD to a target in all synthetic cases"
    return Claim(text, f"{PAPER}, section 5.1", standing, tuple(told), "section_5_1", done == cells)


def finished() -> tuple[pl.DataFrame, list[str], bool]:
    """The summary of section 5.2 for settings in which every method has all its seeds, a sentence where some are
    missing, and whether none is."""
    settings = section_5_2.Settings()
    summary = section_5_2.summary(committed("section_5_2"))
    seeds = pl.col("seeds").min().over("nodes", "alpha")
    methods = pl.col("method").n_unique().over("nodes", "alpha")
    summary = summary.filter(seeds == settings.seeds, methods == len(settings.methods))
    there = set(summary.select("nodes", "alpha").unique().rows())
    missing = [(n, alpha) for n in settings.nodes for alpha in settings.alphas if (n, alpha) not in there]
    shown = ", ".join(f"n = {n} at alpha = {alpha:g}" for n, alpha in missing)
    return summary, [f"Not computed yet: {shown}."] * bool(missing), not missing


def accuracy() -> Claim:
    summary, told, complete = finished()
    above = all_of = 0
    for (nodes, alpha), part in summary.group_by("nodes", "alpha", maintain_order=True):
        at_end = part.filter(pl.col("round") == pl.col("round").max().over("method"))
        shown = []
        for row in at_end.sort("accuracy_slots", descending=True).rows(named=True):
            k = f" k={row['active']}" if "teleportation" in row["method"] else ""
            shown.append(f"{row['method']}{k} {pm(row['accuracy_slots'], row['accuracy_slots_se'])}")
        told.append(f"n = {nodes}, alpha = {alpha:g}, equal epochs, slots: {'; '.join(shown)}.")
        wins, tries = better(at_end)
        above, all_of = above + wins, all_of + tries
        equal = part.filter(pl.col("budget") == "rounds")
        few = "; ".join(
            f"{row['method']} {pm(row['accuracy_slots'], row['accuracy_slots_se'])}"
            for row in equal.filter(pl.col("method").str.contains("teleportation|dsgd")).rows(named=True)
        )
        told.append(f"n = {nodes}, alpha = {alpha:g}, equal rounds, slots: {few}.")
    edge = summary.filter(pl.col("learning_rate").is_in([0.1, 0.001]))["method"].unique().sort().to_list()
    if edge:
        told.append(
            f"Best at an end of the paper's grid of step sizes, 0.1 to 0.001, in some budget: {', '.join(edge)}."
        )
    told.insert(
        0, f"After equal epochs TELEPORTATION is above DSGD by two standard errors in {above} of {all_of} pairs."
    )
    standing: Standing = "held" if above == all_of else "held only in part" if above else "not held"
    return Claim("Higher accuracy than DSGD", f"{PAPER}, section 5.2", standing, tuple(told), "section_5_2", complete)


def better(ends: pl.DataFrame) -> tuple[int, int]:
    """Pairs of TELEPORTATION and DSGD in which the first is above, and all pairs."""
    wins = tries = 0
    for ours in ends.filter(pl.col("method").str.starts_with("teleportation")).rows(named=True):
        for theirs in ends.filter(pl.col("method").str.starts_with("dsgd")).rows(named=True):
            wins += ours["accuracy_slots"] > theirs["accuracy_slots"] + 2 * error_between(ours, theirs)
            tries += 1
    return wins, tries


def stability() -> Claim:
    summary, told, complete = finished()
    ends = summary.filter(pl.col("round") == pl.col("round").max().over("nodes", "alpha", "method"))
    gap = (pl.col("accuracy_slots") - pl.col("accuracy_worst")).alias("gap")
    fine = []
    for (nodes, alpha), part in ends.with_columns(gap).group_by("nodes", "alpha", maintain_order=True):
        ours = part.filter(pl.col("method").str.starts_with("teleportation"))
        theirs = part.filter(pl.col("method").str.starts_with("dsgd"))
        fine.append(ours["gap"].max() < theirs["gap"].min())
        told.append(
            f"n = {nodes}, alpha = {alpha:g}: the worst slot is {ours['gap'].min():.3f} to {ours['gap'].max():.3f} below "
            f"the mean of slots in TELEPORTATION, {theirs['gap'].min():.3f} to {theirs['gap'].max():.3f} in DSGD; standard "
            f"errors over seeds {ours['accuracy_slots_se'].max():.3f} and {theirs['accuracy_slots_se'].max():.3f}."
        )
    standing: Standing = "held" if all(fine) else "held only in part" if any(fine) else "not held"
    return Claim(
        "More stable training than DSGD",
        f"{PAPER}, section 5.2",
        standing,
        tuple(told),
        "section_5_2",
        complete,
    )


def in_time(alpha: float) -> tuple[list[str], int, int]:
    """Who is first at tau = 5: sentences, how often TELEPORTATION, and of how many targets that anybody reaches."""
    table = section_5_3.verdicts(committed("section_5_3")).filter(alpha=alpha, tau=5.0)
    told, ours, all_of = [], 0, 0
    for (data, target), part in table.group_by("data", "target", maintain_order=True):
        first = part.filter("first")
        if first.is_empty():
            told.append(f"{data}, accuracy {target:.3f}: nobody is there with all seeds.")
            continue
        row = first.row(0, named=True)
        others = part.filter(~pl.col("method").str.starts_with(row["method"].split()[0]))["time"].min()
        rest = "the others are not there" if others is None else f"the best of the other kind after {others:.0f} s"
        told.append(
            f"{data}, accuracy {target:.3f}: first is {row['method']} ({pm(row['time'], row['time_se'], 0)} s), {rest}."
        )
        ours, all_of = ours + row["method"].startswith("TELE"), all_of + 1
    return told, ours, all_of


def faster_if_heterogeneous() -> Claim:
    told, ours, all_of = in_time(0.1)
    standing: Standing = "held" if ours == all_of else "held only in part" if ours else "not held"
    text = "Faster in simulated time where links differ (tau = 5) and data too (alpha = 0.1)"
    return Claim(text, f"{PAPER}, section 5.3", standing, tuple(told), "section_5_3")


def slower_if_homogeneous() -> Claim:
    told, ours, all_of = in_time(10.0)
    standing: Standing = "held" if not ours else "held only in part" if ours < all_of else "not held"
    text = "Slower than DSGD on its cheap graph where data are alike (tau = 5, alpha = 10)"
    return Claim(text, f"{PAPER}, section 5.3", standing, tuple(told), "section_5_3")


def tokens() -> Claim:
    table = committed("rates").filter(part="tokens").sort("active")
    own, mean = (rates.slope(table, "active", column) for column in ("loss_slots", "loss"))
    told = (
        f"The loss of the tokens' own models goes as m^{own:.2f} from 1 to {table['active'][-1]} tokens: no speed-up.",
        f"Their mean, which nobody has without one more all-reduce, does improve: as m^{mean:.2f}.",
    )
    standing: Standing = "held" if abs(own) < 0.1 else "not held"
    return Claim("Token methods reach no linear speed-up", PAPER, standing, told, "rates")


def gossip_steps() -> Claim:
    table = committed("rates").filter(part="gossip")
    told, changes = [], {}
    for (method,), part in table.group_by("method", maintain_order=True):
        one, two, four = (part.filter(steps=steps).row(0, named=True) for steps in (1, 2, 4))
        changes[method] = {column: 1 - two[column] / one[column] for column in rates.COLUMNS}
        told.append(
            f"{method}: mean squared gradient {one['theorem']:.3f}, {two['theorem']:.3f} and {four['theorem']:.3f} with 1, 2 "
            f"and 4 gossip steps a round; loss of the slots' own models after 400 rounds {one['loss_slots']:.4f}, "
            f"{two['loss_slots']:.4f} and {four['loss_slots']:.4f}."
        )
    ours = [change for method, by in changes.items() if method.startswith("TELE") for change in by.values()]
    standing: Standing = "held" if max(ours) < LITTLE else "held only in part"
    return Claim("One more gossip step a round adds little to TELEPORTATION", PAPER, standing, tuple(told), "rates")


def communication() -> Claim:
    summary, told, complete = finished()
    more = []
    for (nodes, alpha), part in summary.group_by("nodes", "alpha", maintain_order=True):
        ring = part.filter(method="dsgd/ring", budget="rounds")
        ours = part.filter(pl.col("method").str.starts_with("teleportation"))
        if ring.is_empty() or ours.is_empty():
            continue
        by = {budget: ours.filter(budget=budget)["bytes"] / ring["bytes"][0] for budget in ("rounds", "epochs")}
        more.append(float(by["epochs"].max()))
        told.append(
            f"n = {nodes}, alpha = {alpha:g}: {by['rounds'].min():.2f} to {by['rounds'].max():.2f} of the bytes of DSGD on "
            f"a ring after equal rounds, {by['epochs'].min():.2f} to {by['epochs'].max():.2f} times them after equal epochs "
            "(momentum travels with every hand-off)."
        )
    standing: Standing = "held" if more and max(more) <= 1 else "held only in part"
    return Claim("Communication is not increased", PAPER, standing, tuple(told), "section_5_2", complete)


CLAIMS = (
    not_degraded,
    rate_in_rounds,
    more_nodes_help,
    search,
    fewer_rounds,
    accuracy,
    stability,
    faster_if_heterogeneous,
    slower_if_homogeneous,
    tokens,
    gossip_steps,
    communication,
)
