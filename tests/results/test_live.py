"""A picture that is drawn while a run goes on, and the film of recorded rounds."""

import re
import sys
import types
from dataclasses import replace

import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.results.animation import Stage

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=12, dim=3)
TELEPORTATION = tj.teleportation(active=4, topology="ring", optimizer=SGD)
RUN = {"rounds": 6, "eval_every": 1, "progress": False}


@pytest.mark.slow
def test_the_picture_is_drawn_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("telejax.results.live.atomic_write", lambda file, write: drawn.append(file))
    tj.simulate(TELEPORTATION, TASK, on_evaluation=tj.live(path=tmp_path / "a.png", seconds=1e6), **RUN)
    assert len(drawn) == 2  # the first evaluation and the last


@pytest.mark.slow
def test_a_file_that_viewers_load_again(tmp_path):
    file = tmp_path / "live.png"
    watch = tj.live(path=file, seconds=0)
    result = tj.simulate(TELEPORTATION, TASK, seeds=2, tune=[0.1, 0.2], on_evaluation=watch, **RUN)
    assert file.read_bytes().startswith(b"\x89PNG") and watch.metric == "loss_slots"
    columns = ["round", "seed", "learning_rate", "loss"]
    assert watch.history.select(columns).sort(columns).equals(result.history.select(columns).sort(columns))
    with pytest.raises(FileExistsError, match="exists"):
        tj.live(path=file)
    again = tj.live(path=file, overwrite=True)
    for _ in range(2):  # a second run begins anew
        tj.simulate(TELEPORTATION, TASK, on_evaluation=again, **RUN)
    assert again.history.height == 7


@pytest.mark.slow
def test_in_jupyter_one_picture_is_replaced(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda image: shown.append(("update", image)))

    def display(image, display_id):
        shown.append(("display", image))
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace(kernel=object()))
    tj.simulate(TELEPORTATION, TASK, on_evaluation=tj.live("loss", seconds=0), **RUN)
    assert [one for one, _ in shown] == ["display"] + ["update"] * 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ["path is None", "live.png"]),
        ({"path": "live.csv"}, ["live.csv", "no name of a picture", ".png"]),
        ({"path": "a.png", "seconds": -1}, ["seconds is -1"]),
        ({"path": "a.png", "metric": 3}, ["metric is 3"]),
    ],
)
def test_what_cannot_be_drawn_is_told_at_once(arguments, words):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, words))):
        tj.live(**arguments)


def test_an_unknown_column_is_told_at_the_first_evaluation(tmp_path):
    for arguments in ({"metric": "accuracy"}, {"metric": "loss", "x": "tiem"}, {"metric": "seed"}):
        with pytest.raises(ValueError, match=r"unknown (metric|x) '"):
            tj.simulate(TELEPORTATION, TASK, on_evaluation=tj.live(path=tmp_path / "a.png", **arguments), **RUN)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def film():
    return tj.simulate(TELEPORTATION, TASK, record=3, **RUN).animate()


@pytest.mark.slow
def test_a_picture_that_cannot_be_written_is_a_warning_and_the_result_is_kept(tmp_path):
    watch = tj.live(path=tmp_path / "new" / "live.png", seconds=0)
    (tmp_path / "new").write_text("a file where a folder is due")
    with pytest.warns(UserWarning, match=r"live\.png.* failed .*the run goes on"):
        result = tj.simulate(TELEPORTATION, TASK, on_evaluation=watch, **RUN)
    assert result.history.height == watch.history.height == 7


def test_an_end_that_fails_is_a_warning_and_the_result_is_kept():
    class Watch:
        def __call__(self, rows):
            pass

        def end(self):
            raise OSError("no space")

    with pytest.warns(UserWarning, match="end failed .OSError: no space.*the result is whole"):
        assert tj.simulate(TELEPORTATION, TASK, on_evaluation=Watch(), **RUN).history.height == 7


@pytest.mark.slow
def test_a_run_that_goes_on_from_a_checkpoint_is_drawn_from_its_start(tmp_path):
    class Stop(Exception):
        pass

    def stop(rows):
        if rows["round"][0] == 4:
            raise Stop

    folder = tmp_path / "checkpoint"
    with pytest.raises(Stop):
        tj.simulate(TELEPORTATION, TASK, checkpoint=folder, on_evaluation=stop, **RUN)
    watch = tj.live(path=tmp_path / "live.png")
    result = tj.simulate(TELEPORTATION, TASK, checkpoint=folder, on_evaluation=watch, **RUN)
    assert watch.history["round"].to_list() == result.history["round"].to_list() == [*range(7)]


def test_a_film_has_the_messages_of_the_graph(film):
    assert set(film.gossip) == {0, 1, 2}
    expected = {(a, (a + step) % 4) for a in range(4) for step in (1, 3)}
    assert all({*pairs} == expected and len(pairs) == len(expected) for pairs in film.gossip.values())


def test_slots_end_a_hand_off_at_their_new_holders(film):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    stage = Stage(film, axes)
    scene = next(one for one in film.scenes if one.phase == "hand-off" and one.done == 1)
    stage.draw(scene)
    now = axes.collections[-1].get_offsets()
    rows = film.timeline.filter(pl.col("round") == scene.round).sort("slot")
    np.testing.assert_allclose(now, [stage.place[node] for node in rows["node"]])
    plt.close(figure)


@pytest.mark.slow
def test_a_film_is_saved_as_gif_and_as_page(film, tmp_path):
    from PIL import Image

    film = replace(film, timeline=film.timeline.filter(pl.col("round") < 1))  # drawing takes time
    file = film.save(tmp_path / "new" / "run.gif", progress=False)
    with Image.open(file) as image:
        assert image.n_frames == len(film.scenes)
    page = film.save(tmp_path / "run.html", progress=False).read_text()
    assert page.count("data:image/png;base64") == len(film.scenes)
    assert "Animation('TELEPORTATION ring k=4', rounds=1" in repr(film)
    with pytest.raises(FileExistsError, match="exists"):
        film.save(file)
    with pytest.raises(ValueError, match=r"run\.mp4.*no name of a picture; give one that ends with \.gif or \.html"):
        film.save(tmp_path / "run.mp4")


@pytest.mark.slow
def test_where_nothing_moves_or_is_sent_there_are_no_such_frames():
    dsgd = tj.decentralized_sgd(topology="one_peer_exponential", optimizer=SGD)
    fixed = tj.simulate(dsgd, tj.tasks.quadratic(nodes=4, dim=2), record=2, **RUN).animate()
    assert {one.phase for one in fixed.scenes} == {"step", "gossip"}
    assert {*fixed.gossip[0]} == {(a, (a + 1) % 4) for a in range(4)} or len(fixed.gossip[0]) == 4
    walk = tj.simulate(tj.random_walk(optimizer=SGD), tj.tasks.quadratic(nodes=10**6), record=3, **RUN).animate()
    assert {one.phase for one in walk.scenes} == {"step", "hand-off"}
    assert len(Stage(walk, walk.frame(0).axes[0]).place) <= 3


def test_a_run_without_a_record_tells_how_to_get_one():
    with pytest.raises(ValueError, match=r"simulate\(\.\.\., record=20\)"):
        tj.simulate(TELEPORTATION, TASK, **RUN).animate()


def test_a_folder_for_the_picture_is_made(tmp_path):
    tj.simulate(TELEPORTATION, TASK, on_evaluation=tj.live(path=tmp_path / "new" / "live.png"), **RUN)
    assert (tmp_path / "new" / "live.png").exists()


def test_another_record_than_that_of_the_state_is_named(film):
    first = tj.simulate(TELEPORTATION, TASK, record=3, **RUN)
    with pytest.raises(ValueError, match=r"record is of 2 rounds, and that of state is of 3; give record=3"):
        tj.simulate(TELEPORTATION, TASK, record=2, state=first, **RUN)
    more = tj.simulate(TELEPORTATION, TASK, record=3, state=first, **RUN)
    assert more.animate().timeline.equals(first.animate().timeline)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"record": 3}, {"load": True}])
def test_what_a_state_keeps_is_asked_for_again(asked):
    (name,) = asked
    given = {**RUN, "network": tj.Network(loss=0.1)}
    kept, plain = (tj.simulate(TELEPORTATION, TASK, **given, **more) for more in (asked, {}))
    with pytest.raises(ValueError, match=f"state is of a run with {name}=, give it again"):
        tj.simulate(TELEPORTATION, TASK, state=kept, **given)
    with pytest.raises(ValueError, match=f"state is of a run without {name}=, leave it out"):
        tj.simulate(TELEPORTATION, TASK, state=plain, **given, **asked)


@pytest.mark.slow
def test_a_run_that_goes_on_shows_the_messages_of_the_recorded_rounds():
    dsgd, task = (
        tj.decentralized_sgd(topology="one_peer_exponential", optimizer=SGD),
        tj.tasks.quadratic(nodes=8, dim=2),
    )
    run = {"rounds": 4, "record": 6, "progress": False}
    first = tj.simulate(dsgd, task, **run)
    more = tj.simulate(dsgd, task, state=first, **run).animate()
    whole = tj.simulate(dsgd, task, **run | {"rounds": 8}).animate()
    assert more.gossip == whole.gossip and more.timeline.equals(whole.timeline)
    assert set(whole.gossip) == set(range(6)) and whole.gossip[0] != whole.gossip[1]


@pytest.mark.slow
def test_gossip_that_a_coin_decides_is_not_shown():
    skip = tj.prox_skip(topology="ring", optimizer=SGD, probability=0.5)
    film = tj.simulate(skip, tj.tasks.quadratic(nodes=4, dim=2), record=3, **RUN).animate()
    assert {one.phase for one in film.scenes} == {"step"} and not any(film.gossip.values())
    alone = tj.simulate(tj.nids(topology="ring", optimizer=SGD), tj.tasks.quadratic(nodes=4, dim=2), record=3, **RUN)
    assert [bool(pairs) for pairs in alone.animate().gossip.values()] == [False, True, True]
