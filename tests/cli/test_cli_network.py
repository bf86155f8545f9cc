"""``telejax network``, and ``telejax compare`` on a network: what they print and write, and what they refuse."""

from pathlib import Path

import polars as pl
import pytest

import telejax as tj
from telejax.cli import main

pytestmark = pytest.mark.usefixtures("compiled_fast")

EXAMPLES = Path(__file__).parents[2] / "experiments" / "networks"
TINY = ["--dataset", "quadratic", "--nodes", "8", "--rounds", "6", "--eval-every", "3", "--seeds", "1"]
TINY += ["--no-progress", "--learning-rates", "0.05"]
SLOW = '[links]\nkind = "uniform"\nlatency = 0.5\n[machines]\nkind = "constant"\nseconds = 1\n'


def write(folder: Path, text: str) -> Path:
    file = folder / "net.toml"
    file.write_text(text)
    return file


def shown(file: Path, folder: Path, *more: str) -> int:
    return main(["network", str(file), "--out", str(folder / "out"), *more])


def numbers(folder: Path) -> dict[str, tuple[float, ...]]:
    table = pl.read_csv(folder / "out" / "network.csv")
    return {row[0]: row[2:] for row in table.iter_rows()}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "nodes"), [("factories", 400), ("branches", 750), ("phones", 25)])
def test_an_example_is_shown_in_80_columns(name: str, nodes: int, tmp_path: Path, capsys) -> None:
    assert shown(EXAMPLES / f"{name}.toml", tmp_path) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].strip() == f"{name}.toml, {nodes} nodes" and printed.err == ""
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1] == f"Written: {tmp_path}/out/network.csv and network.png"
    assert {file.name for file in (tmp_path / "out").iterdir()} == {".telejax", "network.csv", "network.png"}
    assert (tmp_path / "out" / "network.png").read_bytes().startswith(b"\x89PNG")


def test_its_numbers_are_those_of_the_links_and_machines(tmp_path: Path, capsys) -> None:
    (tmp_path / "links.csv").write_text(
        "sender,receiver,latency,bandwidth\n0,1,1,1e6\n1,0,2,1e6\n0,2,3,1e6\n2,0,4,1e6\n1,2,5,1e6\n2,1,6,5e5\n"
    )
    (tmp_path / "machines.csv").write_text("node,seconds\n0,1\n1,5\n2,3\n")
    (tmp_path / "spells.csv").write_text("node,up,down\n0,0,10\n1,5,10\n2,5,6\n")
    text = '[links]\nkind = "server"\nlatency = 0.5\n[links.peers]\nkind = "csv"\npath = "links.csv"\n'
    text += '[machines]\nkind = "csv"\npath = "machines.csv"\n[presence]\nkind = "trace"\npath = "spells.csv"\n'
    assert shown(write(tmp_path, text), tmp_path) == 0
    found = numbers(tmp_path)
    assert found["latency"] == (1, 3.5, 6)
    assert found["bandwidth"] == (0.5, 1, 1)
    assert found["message of 1 MB"] == (2, 4.5, 8)
    assert found["gradient"] == (1, 3, 5)
    assert found["present"] == pytest.approx((0.1, 0.5, 1.0))
    assert found["1 MB to the server"] == pytest.approx((0.501,) * 3)
    printed = capsys.readouterr().out
    assert "net.toml, 3 nodes" in printed and "links: between all 3 nodes" in printed


@pytest.mark.slow
def test_what_takes_no_time_is_said_to(tmp_path: Path, capsys) -> None:
    assert shown(write(tmp_path, "[network]\nloss = 0.1\n"), tmp_path) == 0
    assert "loss" in capsys.readouterr().out and not numbers(tmp_path)
    assert shown(write(tmp_path, ""), tmp_path, "--force") == 0
    assert "nothing is lost, late, away or forged" in capsys.readouterr().out
    text = '[presence]\nkind = "markov"\nleave = 0.1\nback = 0.3\n'
    assert shown(write(tmp_path, text), tmp_path, "--force", "--nodes", "1000000") == 0
    assert numbers(tmp_path)["present"] == pytest.approx((0.75,) * 3)
    assert "1,000,000 nodes" in capsys.readouterr().out
    text = '[activation]\nkind = "weighted"\nweights = "data"\n[links]\nkind = "preferred"\ntopology = "ring"\n'
    assert shown(write(tmp_path, text), tmp_path, "--force") == 0
    assert numbers(tmp_path)["message of 1 MB"] == (1, 5, 5)


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("[links]\nkind = 'uniform'\nlatncy = 1\n", [], "net.toml, line 3, [links] latncy: unknown key of links"),
        ("[links\n", [], "net.toml is not TOML: "),
        (SLOW, ["--nodes", "1"], "--nodes is 1; give an integer from 2"),
        ("[links]\nkind = 'sites'\nsizes = [3]\n", ["--nodes", "9"], "--nodes is 9: links is of 3 nodes"),
        (
            "[activation]\nkind = 'weighted'\nweights = 'speed'\n",
            [],
            "net.toml, with 25 nodes: activation is weighted by",
        ),
    ],
)
def test_what_is_wrong_exits_with_2(text: str, more: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert shown(write(tmp_path, text), tmp_path, *more) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.startswith("telejax: ") and "Traceback" not in printed.err
    assert printed.out == "" and not (tmp_path / "out").exists()


def test_files_and_folders_are_refused_by_their_argument(tmp_path: Path, capsys) -> None:
    assert shown(tmp_path / "no.toml", tmp_path) == 2
    assert f"FILE.TOML is {str(tmp_path / 'no.toml')!r}, which cannot be read" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert shown(write(tmp_path, SLOW), tmp_path, "--force") == 2
    assert "--out is " in capsys.readouterr().err


def compare(folder: Path, *more: str) -> int:
    return main(["compare", *TINY, "--out", str(folder / "out"), *more])


@pytest.mark.slow
def test_a_comparison_tells_the_time(tmp_path: Path, capsys) -> None:
    file = write(tmp_path, SLOW)
    assert compare(tmp_path, "--methods", "dsgd/ring", "token", "--network", str(file)) == 0
    history = pl.read_parquet(tmp_path / "out" / "history.parquet")
    assert history.filter(method="DSGD ring")["time"].to_list() == pytest.approx([0, 4.5, 9])
    assert "sec-" in capsys.readouterr().out
    assert (tmp_path / "out" / "comparison.png").is_file()


@pytest.mark.parametrize(
    ("method", "text", "message"),
    [
        ("token", "[network]\nloss = 2\n", "net.toml, line 2, [network] loss: loss is 2; give a probability"),
        (
            "fedavg",
            SLOW,
            "network of FedAvg k=8, 1 local: links is Uniform(latency=0.5, bandwidth=1000000000.0), without",
        ),
    ],
)
def test_a_network_that_a_method_cannot_take_is_refused(
    method: str, text: str, message: str, tmp_path: Path, capsys
) -> None:
    assert compare(tmp_path, "--methods", method, "--network", str(write(tmp_path, text))) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_network_that_is_no_file_is_refused(tmp_path: Path, capsys) -> None:
    assert compare(tmp_path, "--methods", "token", "--network", str(tmp_path / "no.toml")) == 2
    assert f"--network is {str(tmp_path / 'no.toml')!r}, which cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_compare_in_python_has_time_to_target_and_its_axis() -> None:
    import optax

    sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    network = tj.Network(loss=0.1, machines=tj.network.machines.constant(2.0))
    task = tj.tasks.quadratic(nodes=6, dim=3, noise=0.0, heterogeneity=0.0)
    tune = {"network.loss": [0.0, 0.5]}
    both = tj.compare(
        [tj.random_walk(optimizer=sgd)], task, rounds=60, eval_every=1, network=network, tune=tune, seeds=1
    )
    row = both.table().row(0, named=True)
    assert row["time_to_target"] == 2 * row["rounds_to_target"] > 0 and row["time"] == 120
    assert [axes.get_xlabel() for axes in both.plot(["loss"]).axes][-1] == "simulated seconds"
    assert both.config["network"]["machines.seconds"] == 2
    with pytest.raises(ValueError, match=r"network of one token: network is 3; give a telejax\.Network"):
        tj.compare([tj.random_walk(optimizer=sgd)], task, rounds=5, network=3)  # type: ignore[arg-type]
