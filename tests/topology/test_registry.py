"""Graphs by name, the table of all of them, and the command that prints it."""

import math
import subprocess
import sys

import polars as pl
import pytest

import telejax as tj
from telejax.cli import main

T = tj.topology


@pytest.mark.parametrize(
    ("spec", "topology"),
    [
        ("ring", T.ring(20)),
        ("base:degree=1", T.base_graph(20, 1)),
        ("base", T.base_graph(20)),
        ("simple-base:degree=3", T.simple_base_graph(20, 3)),
        ("equistatic:m=8", T.u_equistatic(20, 8)),
        ("equidyn:eta=0.4,seed=3", T.ou_equidyn(20, 0.4, seed=3)),
        ("path:weights=lazy", T.path(20, weights="lazy")),
        ("random_walk:graph=star", T.reweighted(T.star(20), "random_walk")),
    ],
)
def test_specs(spec, topology):
    built = T.from_spec(spec, 20)
    assert built.name == topology.name
    for t in range(2):
        assert (built.matrix(t) == topology.matrix(t)).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rign", "unknown topology 'rign'; did you mean 'ring'"),
        ("base:degre=2", "unknown parameter of topology 'base' 'degre'; did you mean 'degree'"),
        ("base:degree=two", "value 'two'; this parameter is a number"),
        ("base:degree", "value ''; this parameter is a number"),
        ("base:degree=30", "degree is 30 with 20 nodes"),
        ("path:weights=heavy", "unknown weights 'heavy'"),
        ("random_walk:graph=rign", "unknown topology 'rign'"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(ValueError, match=message):
        T.from_spec(spec, 20)


def test_table():
    table = T.table(25)
    assert table["topology"].to_list() == list(T.NAMES)
    rows = {row["topology"]: row for row in table.iter_rows(named=True)}
    rate = rows["ring"]["consensus_rate"]
    assert rate == T.ring(25).consensus_rate()
    assert rows["ring"]["rounds_to_consensus"] == math.ceil(math.log(1e-6) / math.log1p(-rate))
    assert rows["base_graph"]["finite_time"] and rows["base_graph"]["period"] == 9
    assert rows["ou_equidyn"]["drawn"]
    assert "power of two" in rows["hypercube"]["note"]
    assert rows["hypercube"]["period"] is None
    with pytest.raises(ValueError, match="unknown topology"):
        T.table(25, ["rign"])
    assert T.table(1).filter(pl.col("note").is_null())["consensus_rate"].unique().to_list() == [1.0]


def test_command(tmp_path, capsys):
    names = ["ring", "base:degree=1", "hypercube"]
    arguments = ["topologies", "--nodes", "8", "--names", *names, "--out", str(tmp_path / "a")]
    assert main(arguments) == 0
    assert "base:degree=1" in capsys.readouterr().out
    table = pl.read_csv(tmp_path / "a" / "topologies.csv")
    assert table["finite_time"].to_list() == [False, True, False]
    assert (tmp_path / "a" / "topologies.png").stat().st_size > 10_000
    assert main(arguments) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert main(["topologies", "--names", "rign"]) == 2
    assert "did you mean 'ring'" in capsys.readouterr().err
    assert main(["topologies", "--nodes", "0"]) == 2


@pytest.mark.slow
def test_command_needs_no_jax(tmp_path):
    script = (
        "import sys; from telejax.cli import main; "
        f"main(['topologies', '--names', 'ring', 'base', '--out', {str(tmp_path / 'b')!r}]); "
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0
