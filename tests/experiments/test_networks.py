"""The experiment on networks, at a tiny size on the digits: k is searched, and finished runs are not done again."""

from pathlib import Path

import optax
import pytest

import telejax as tj

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

pytestmark = pytest.mark.usefixtures("compiled_fast")


@pytest.mark.slow
def test_searches_resumes_and_refuses_other_settings(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    import networks

    settings = networks.Settings(
        nodes=(8,),
        alphas=(0.1,),
        methods=("dsgd/ring", "teleportation/ring"),
        rounds=8,
        rows=2,
        learning_rates=(0.1, 0.3),
        seeds=2,
        candidates=(2, 4, 16),
        search_rounds=8,
        search_seeds=1,
        out=tmp_path / "out",
    )
    make_task = lambda nodes, alpha, evaluated: tj.tasks.digits(nodes=nodes, alpha=alpha, model="logistic")
    run = lambda settings: networks.run_all(settings, make_task, tj.optimizer(optax.sgd, learning_rate=0.1))
    run(settings)
    printed = capsys.readouterr().out
    assert "Search on ring: Activate" in printed and "[6/6]" in printed and "dsgd/ring" in printed
    folder = settings.out / "digits-n8-alpha0.1"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {".telejax", "history.parquet", "accuracy.png"}

    (lost,) = (settings.out / "digits-n8-alpha0.1-runs").glob("dsgd-ring-0.1-0.parquet")
    lost.unlink()
    run(settings)
    printed = capsys.readouterr().out
    assert printed.count("kept from before") == 5 and "Search on" not in printed
    assert (folder / "history.parquet").read_bytes() == before["history.parquet"]

    with pytest.raises(ValueError, match=r"other settings: rounds was 8 and is 9.*choose another --out"):
        run(networks.replace(settings, rounds=9))
