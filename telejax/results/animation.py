"""A run as a film: slots move to the nodes that hold them, compute there, and gossip."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from telejax.backend.bars import progress_bar
from telejax.errors import check_flag
from telejax.results.files import check_new_file, write_file

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

MOVES, STANDS = 6, 2
"""Frames of what moves, and of what stands still."""
MOST_NODES, ON_A_CIRCLE = 1000, 40
"""Nodes that are drawn: of more, those that took part; on a circle where they are few."""
MOST_FRAMES = 1500
A_SECOND = 8  # frames
SHOW_AFTER = 2.0  # seconds
SIZE = (5.0, 5.5)  # inches
GOLDEN = np.pi * (3 - 5**0.5)
SUFFIXES = (".gif", ".html")
WORDS = {
    "hand-off": "slots move to their new holders",
    "step": "each holder takes a step on its own data",
    "gossip": "holders average the models of neighbouring slots",
}

Points = NDArray[np.float64]


class Scene(NamedTuple):
    """A frame: which round, what happens in it, and how much of that is done."""

    round: int
    phase: str
    done: float


@dataclass(frozen=True, repr=False)
class Animation:
    """What :meth:`telejax.Result.animate` returns: shown in Jupyter, saved as a GIF or a page."""

    timeline: pl.DataFrame
    """Of ``result.timeline()``: round, slot, node, fetched_from."""
    gossip: Mapping[int, Sequence[tuple[int, int]]]
    """For each round the slots (receiver, sender) of its messages; empty where nothing is sent, or a coin decides."""
    nodes: int
    """Of the task."""
    title: str

    @property
    def scenes(self) -> list[Scene]:
        """All frames in order; a hand-off only where a slot moves."""
        moves = {*self.timeline.filter(pl.col("fetched_from") != pl.col("node"))["round"]}
        found: list[Scene] = []
        for round in self.timeline["round"].unique(maintain_order=True).to_list():
            phases = ["hand-off"] * (round in moves) + ["step"] + ["gossip"] * bool(self.gossip.get(round))
            for phase in phases:
                frames = STANDS if phase == "step" else MOVES
                found += [Scene(round, phase, (frame + 1) / frames) for frame in range(frames)]
        return found

    def save(self, path: str | os.PathLike[str], overwrite: bool = False, progress: bool = True) -> Path:
        """Write the film: as a GIF, or as a page with buttons to stop and to step.

        Args:
            path: a file whose name ends with .gif or .html.
            overwrite: replace a file that exists.
            progress: show a bar where it takes more than two seconds.

        Raises:
            ValueError: another name, or more than 1500 frames, some 100 rounds.
            FileExistsError: the file exists and ``overwrite`` is False.
            OSError: it cannot be written; the film before is there still.
        """
        file = check_new_file(path, overwrite, "run.gif", SUFFIXES)
        content = self._content(file.suffix.lower(), check_flag("progress", progress))
        write_file(file, content)
        return file

    def _repr_html_(self) -> str:
        return self._content(".html", progress=True).decode()

    def __repr__(self) -> str:
        rounds = self.timeline["round"].n_unique()
        return f"Animation({self.title!r}, rounds={rounds}, frames={len(self.scenes)})"

    def _content(self, suffix: str, progress: bool) -> bytes:
        """The film in a format, as matplotlib writes it."""
        import matplotlib.pyplot as plt
        from matplotlib.animation import FuncAnimation, HTMLWriter, PillowWriter

        if len(scenes := self.scenes) > MOST_FRAMES:
            raise ValueError(f"timeline has {len(scenes)} frames; record fewer rounds, at most {MOST_FRAMES} frames")
        figure, axes = plt.subplots(figsize=SIZE, dpi=90)
        stage = Stage(self, axes)
        page = HTMLWriter(fps=A_SECOND, embed_frames=True, embed_limit=1000)
        writer: Any = page if suffix == ".html" else PillowWriter(fps=A_SECOND)
        bar = progress_bar(total=len(scenes), desc="film", unit="frame", show=progress, delay=SHOW_AFTER, leave=False)
        try:
            with bar, tempfile.TemporaryDirectory() as folder:
                film = FuncAnimation(figure, stage.draw, frames=scenes, init_func=lambda: ())
                film.save(Path(folder) / f"film{suffix}", writer=writer, progress_callback=lambda *_: bar.update())
                return (Path(folder) / f"film{suffix}").read_bytes()
        finally:
            plt.close(figure)

    def frame(self, number: int) -> "matplotlib.figure.Figure":
        """One frame, as a figure of matplotlib."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=SIZE)
        Stage(self, axes).draw(self.scenes[number])
        return figure


class Stage:
    """Where the slots of one film move: the places of the nodes, and what is drawn on them."""

    def __init__(self, film: Animation, axes: "matplotlib.axes.Axes") -> None:
        self.film, self.axes = film, axes
        axes.figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.91)
        table = film.timeline
        slots = int(table["slot"].max()) + 1  # type: ignore[arg-type]  # numbers
        self.rounds = {
            int(round): (_by_slot(rows, "node", slots), _by_slot(rows, "fetched_from", slots))
            for (round,), rows in table.partition_by("round", as_dict=True, maintain_order=True).items()
        }
        took_part = sorted({*table["node"].drop_nulls().to_list(), *table["fetched_from"].drop_nulls().to_list()})
        shown = range(film.nodes) if film.nodes <= MOST_NODES else took_part
        self.place = dict(zip(shown, _places(len(shown)), strict=True))
        self.colors = [f"C{slot % 10}" for slot in range(slots)]
        self.size = float(np.clip(4000 / len(shown), 12, 260))
        whom = f"{film.nodes:,} nodes" if len(shown) == film.nodes else f"{len(shown)} of {film.nodes:,} nodes"
        self.told = f"{film.title}\n{whom}, {slots} slots"

    def draw(self, scene: Scene) -> tuple[()]:
        """One frame."""
        axes, (holders, sources) = self.axes, self.rounds[scene.round]
        axes.clear()
        axes.set_axis_off()
        axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
        axes.set_title(self.told, fontsize="medium")
        axes.text(0, -1.13, f"round {scene.round}, {scene.phase}: {WORDS[scene.phase]}", ha="center", fontsize="small")
        every = np.array(list(self.place.values()))
        axes.scatter(every[:, 0], every[:, 1], s=self.size, color="#e4e4e4", edgecolors="#bbbbbb", linewidths=0.5)
        held = [slot for slot, node in enumerate(holders) if node is not None]
        if not held:
            return ()
        there = np.array([self.place[holders[slot]] for slot in held])
        before = np.array([self.place[holders[slot] if sources[slot] is None else sources[slot]] for slot in held])
        share = scene.done if scene.phase == "hand-off" else 1.0
        now = before + (3 - 2 * share) * share**2 * (there - before)  # slow at both ends
        colors = [self.colors[slot] for slot in held]
        if scene.phase == "hand-off":
            for one, other, color in zip(before, now, colors, strict=True):
                axes.plot(*np.array([one, other]).T, color=color, alpha=0.4, linewidth=1)
        if scene.phase == "gossip":
            self._gossip(scene, dict(zip(held, there, strict=True)))
        grown = 1.7 if scene.phase == "step" and scene.done < 1 else 1.0
        axes.scatter(now[:, 0], now[:, 1], s=self.size * grown, c=colors, edgecolors="black", linewidths=0.8, zorder=3)
        return ()

    def _gossip(self, scene: Scene, places: Mapping[int, Points]) -> None:
        """The messages of a round on their way, as points of the sender's color on lines."""
        for receiver, sender in self.film.gossip[scene.round]:
            if receiver in places and sender in places:
                way = np.array([places[sender], places[receiver]])
                self.axes.plot(*way.T, color="#999999", linewidth=0.6, zorder=1)
                at = way[0] + scene.done * (way[1] - way[0])
                self.axes.scatter(at[0], at[1], s=self.size / 6, color=self.colors[sender], zorder=2)


def _by_slot(rows: pl.DataFrame, column: str, slots: int) -> list[Any]:
    """The node of each slot in a round, None where there is none."""
    found: list[Any] = [None] * slots
    for slot, node in rows.select("slot", column).iter_rows():
        found[slot] = node
    return found


def _places(count: int) -> Points:
    """Where nodes are drawn: on a circle, or like the seeds of a sunflower; shape (count, 2)."""
    number: NDArray[Any] = np.arange(count)
    radius: NDArray[Any]
    if count <= ON_A_CIRCLE:
        angle, radius = np.pi / 2 - 2 * np.pi * number / count, np.ones(count)
    else:
        angle, radius = number * GOLDEN, np.sqrt((number + 0.5) / count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
