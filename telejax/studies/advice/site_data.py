"""The data of the sites: their own files, or as many samples of the labels that they have of data that stand in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from telejax.data import datasets, idx
from telejax.data.datasets import Dataset, Split
from telejax.data.partition import Table, pad_rows
from telejax.data.synthetic import synthetic
from telejax.errors import short
from telejax.studies.advice.sites import Data, Group, Learner, Sites
from telejax.tasks.classification import Classification, classification

LABEL = "label"
"""The column of a site's file that is to be predicted; the others are numbers, the inputs."""
LEAST_ROWS = 5
MOST_NUMBER = 1e18
"""Of an input, whose square float32 still holds."""
EVALUATED = (50, 250, 600)
"""Samples that judge a model, of those that nodes hold, to tune with and to test."""


@dataclass(frozen=True)
class SiteData:
    """What all sites hold."""

    dataset: Dataset
    table: Table
    """The training samples of each site, -1 at the end of shorter rows."""
    owners: NDArray[np.int32] | None
    """Of each test sample the site whose own it is; None where the test samples are everybody's."""

    def task(self, chosen: NDArray[np.integer], model: Learner) -> Classification:
        """The task of some of the sites."""
        data, owners, evaluated = self.dataset, None, EVALUATED
        if self.owners is not None:
            place = np.full(len(self.table), -1, np.int32)
            place[chosen] = np.arange(len(chosen))
            kept = place[self.owners] >= 0
            test = Split(data.test.inputs[kept], data.test.labels[kept])
            data = Dataset(data.name, data.train, data.validation, test, data.mean, data.std)
            owners, evaluated = place[self.owners[kept]], (*EVALUATED[:2], int(kept.sum()))
        return classification(
            data,
            partition=self.table[chosen],
            model=model.kind,
            batch=model.batch,
            evaluated=evaluated,
            test_owners=owners,
        )


def data_of(sites: Sites) -> SiteData:
    """Read, or make, the data of all sites.

    Raises:
        ValueError: a file that is absent or has no numbers, too few samples in it, or more samples than the data that
            stand in have.
    """
    if sites.groups[0].data is not None:
        return _of_files(sites.groups, sites.data.seed)
    labels = _dealt_labels(sites)
    if sites.data.kind == "synthetic":
        return _synthetic(sites.data, labels)
    return _from_pool(sites, labels)


def _dealt_labels(sites: Sites) -> NDArray[np.int64]:
    """How many samples of each class each site has, (sites, classes)."""
    data, stream = sites.data, np.random.default_rng([sites.data.seed, 3])
    classes = data.classes if data.kind == "synthetic" else 10
    found = []
    for group in sites.groups:
        own = np.arange(classes) if group.labels is None else np.array(group.labels)
        if data.alpha is None:
            shares = np.full((group.count, len(own)), 1 / len(own))
        else:
            shares = _dirichlet(stream, data.alpha, (group.count, len(own)))
        counts = np.zeros((group.count, classes), np.int64)
        counts[:, own] = stream.multinomial(group.samples or 0, shares)
        found.append(counts)
    return np.concatenate(found)


def _dirichlet(stream: np.random.Generator, alpha: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Rows of shares; where all gamma variables of a row are below all floats (a tiny alpha), one class has all."""
    drawn = stream.standard_gamma(alpha, shape)
    gone = np.flatnonzero(drawn.sum(axis=1) < np.finfo(float).tiny)
    drawn[gone] = np.eye(shape[1])[stream.integers(shape[1], size=len(gone))]
    shares: NDArray[np.float64] = drawn / drawn.sum(axis=1, keepdims=True)
    return shares


def _synthetic(data: Data, counts: NDArray[np.int64]) -> SiteData:
    labels = np.repeat(np.tile(np.arange(counts.shape[1]), len(counts)), counts.ravel())
    size, first = counts.sum(axis=1), np.concatenate([[0], np.cumsum(counts.sum(axis=1))[:-1]])
    place = np.arange(size.max())
    table = np.where(place < size[:, None], first[:, None] + place, -1).astype(np.int32)
    made = synthetic(
        labels=labels.astype(np.int32),
        classes=data.classes,
        features=data.features,
        clusters=data.clusters,
        spread=data.spread,
        seed=data.seed,
    )
    return SiteData(made, table, None)


def _from_pool(sites: Sites, counts: NDArray[np.int64]) -> SiteData:
    """Samples of a data set of pictures, none of them twice; where a class runs out, another one of the site's."""
    whole = datasets.digits() if sites.data.kind == "digits" else idx.fashion_mnist()
    needed, held = int(counts.sum()), len(whole.train)
    if needed > held:
        raise ValueError(
            f"samples adds up to {needed}, and {sites.data.kind} has {held}; give fewer, or data of kind 'synthetic'"
        )
    stream = np.random.default_rng([sites.data.seed, 4])
    order = stream.permutation(held)
    pools = [list(order[whole.train.labels[order] == one]) for one in range(counts.shape[1])]
    rows: list[list[int]] = [[] for _ in counts]
    for site in stream.permutation(len(counts)):
        wanted = np.repeat(np.arange(counts.shape[1]), counts[site])
        for one in wanted:
            own = [other for other in np.flatnonzero(counts[site]).tolist() if pools[other]]
            left = own or [other for other in range(len(pools)) if pools[other]]
            rows[site].append(int(pools[one if pools[one] else left[int(stream.integers(len(left)))]].pop()))
    return SiteData(whole, pad_rows([np.array(row) for row in rows]), None)


def files_of(group: Group) -> list[Path]:
    """The data files of the sites of a group."""
    name = str(group.data)
    if group.count > 1 and "{}" not in name:
        raise ValueError(f"data is {name!r} for {group.count} sites; write {{}} where the number of the site stands")
    return [Path(name.replace("{}", str(number))) for number in range(1, group.count + 1)]


def check_files(groups: Sequence[Group]) -> list[Path]:
    """The files of all sites, or a ValueError where two have the same."""
    files = [file for group in groups for file in files_of(group)]
    twice = [file for place, file in enumerate(files) if file in files[:place]] if len({*files}) < len(files) else []
    if twice:
        raise ValueError(
            f"data is {str(twice[0])!r} for two sites; give each a file of its own (of each group {{}} is 1, 2, ...)"
        )
    return files


def _of_files(groups: Sequence[Group], seed: int) -> SiteData:
    """Each site's own rows: a fifth of them to test it, a tenth to tune with."""
    files = check_files(groups)
    tables = [_read(file) for file in files]
    columns = tables[0].columns
    for file, table in zip(files, tables, strict=True):
        if table.columns != columns:
            told = f"data of {str(file)!r} has the columns {short(table.columns)}"
            raise ValueError(f"{told}, and {str(files[0])!r} has {short(columns)}; give all files the same columns")
    texts = pl.concat([table[LABEL] for table in tables])
    numbers = texts.cast(pl.Float64, strict=False)
    if not numbers.null_count():  # 1 and 1.0 are the same class
        called = numbers.cast(pl.String)
        tables = [table.with_columns(pl.col(LABEL).cast(pl.Float64).cast(pl.String)) for table in tables]
    else:
        called = texts
    classes = {text: place for place, text in enumerate(sorted(called.unique().to_list(), key=_in_order))}
    if len(classes) < 2:
        raise ValueError(f"data of all sites has one label, {short(texts[0])}; give at least two classes")
    inputs = [table.drop(LABEL).to_numpy().astype(np.float32) for table in tables]
    labels = [np.array([classes[one] for one in table[LABEL]], np.int32) for table in tables]
    stream = np.random.default_rng([seed, 5])
    parts: dict[str, list[NDArray[np.int64]]] = {"train": [], "validation": [], "test": []}
    first = 0
    for table in tables:
        order = first + stream.permutation(table.height)
        tests, tuning = max(1, table.height // 5), max(1, table.height // 10)
        for name, rows in zip(
            parts, np.split(order, [table.height - tests - tuning, table.height - tests]), strict=True
        ):
            parts[name].append(rows)
        first += table.height
    x, y = np.concatenate(inputs), np.concatenate(labels)
    split = {name: Split(x[np.concatenate(rows)], y[np.concatenate(rows)]) for name, rows in parts.items()}
    sizes = [len(rows) for rows in parts["train"]]
    ends = np.cumsum(sizes)
    held = pad_rows([np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)])
    mean, std = split["train"].inputs.mean(axis=0), split["train"].inputs.std(axis=0)
    std = np.where(std > 0, std, 1)
    moments = tuple(map(float, mean)), tuple(map(float, std))
    dataset = Dataset("the sites' own data", split["train"], split["validation"], split["test"], *moments)
    owners = np.repeat(np.arange(len(files)), [len(rows) for rows in parts["test"]]).astype(np.int32)
    return SiteData(dataset, held, owners)


def _read(file: Path) -> pl.DataFrame:
    """The rows of a file, or a ValueError that names it."""
    remedy = f"give a CSV file with columns of numbers and one named {LABEL}"
    told = f"data is {str(file)!r}"
    if not file.is_file():
        raise ValueError(f"{told}, which is no file; {remedy}")
    try:
        text = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip() + b"\n"
        table = pl.read_csv(text, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{told}, which cannot be read: {str(error).splitlines()[0]}; {remedy}") from error
    if LABEL not in table.columns or table.width < 2:
        raise ValueError(f"{told}, with the columns {short(table.columns)}; {remedy}")
    if table.height < LEAST_ROWS:
        raise ValueError(f"{told}, with {table.height} rows; give at least {LEAST_ROWS}, of which some test the site")
    return table.select(_column(told, column.str.strip_chars(), remedy) for column in table.get_columns())


def _column(told: str, column: pl.Series, remedy: str) -> pl.Series:
    """The labels as texts, the other columns as numbers that float32 holds."""
    missing = (column.is_null() | column.str.to_lowercase().is_in(["", "nan", "null", "na"])).fill_null(True)
    if missing.any():
        raise ValueError(f"{told}, whose column {column.name} has no value in line {_line(missing)}; fill it")
    if column.name == LABEL:
        return column
    numbers = column.cast(pl.Float64, strict=False)
    if (strange := numbers.is_null()).any():
        found = short(column.filter(strange)[0])
        raise ValueError(
            f"{told}, whose column {column.name} holds {found} in line {_line(strange)}, no number; {remedy}"
        )
    if (wild := ~numbers.is_finite() | (numbers.abs() > MOST_NUMBER)).any():
        where = f"{told}, whose column {column.name} holds {numbers.filter(wild)[0]:g} in line {_line(wild)}"
        raise ValueError(f"{where}; give finite numbers, at most {MOST_NUMBER:g}")
    return numbers


def _line(rows: pl.Series) -> int:
    """Of the file, of the first row that is marked."""
    return 2 + int(rows.arg_max() or 0)


def _in_order(text: str) -> tuple[int, float, str]:
    """Numbers as numbers, then texts."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
