"""CSV files of links, machines and presence: what they hold, and the file and line of whatever is wrong."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from refusals import check

from telejax.network import links, machines, presence

pytestmark = pytest.mark.usefixtures("compiled_fast")

LINKS, MACHINES, TRACE = links.from_csv, machines.from_csv, presence.trace
HEADERS = {LINKS: "sender,receiver,latency,bandwidth\n", MACHINES: "node,seconds\n", TRACE: "node,up,down\n"}

SPELLS = "".join(f"0,{2 * spell},{2 * spell + 1}\n" for spell in range(5000))
"""With as many for 2^31 nodes 86 TB."""
NODE, NUMBER = "give the number of a node, from 0", "number of at least 0"
BAD: list[tuple[Callable[[Any], Any], str, tuple[str, ...]]] = [
    # a node of a name, of another sign, of another kind, or of none
    *(
        (read, row.format(node), (f"line 2: {column} is {node!r}", NODE))
        for read, row, column in (
            (LINKS, "{},1,1,1\n", "sender"),
            (LINKS, "0,{},1,1\n", "receiver"),
            (MACHINES, "{},1\n", "node"),
            (TRACE, "{},0,1\n", "node"),
        )
        for node in ("a", "-1", "0.0", "", "2147483647", "1e3", "1_0", "٣")
    ),
    # times that are negative, missing or none
    *(
        (read, row.format(value), (f"line {row.count(chr(10)) + 1}: {column} is {told}", remedy))
        for read, row, column in (
            (LINKS, "0,1,{},1\n", "latency"),
            (LINKS, "0,1,1,1\n1,0,{},1\n", "latency"),
            (MACHINES, "0,1\n1,2\n2,{}\n", "seconds"),
            (TRACE, "0,{},5\n", "up"),
            (TRACE, "0,0,1\n0,2,{}\n", "down"),
        )
        for value, told, remedy in (
            ("-1", "-1.0", NUMBER),
            ("nan", "nan", NUMBER),
            ("inf", "inf", NUMBER),
            ("", "''", "give a number"),
            ("soon", "'soon'", "give a number"),
            ("1_0", "'1_0'", "give a number"),
            ("٣.5", "'٣.5'", "give a number"),
            ("1e39", "1e+39", "give a number of at most 3.4e+38"),
        )
    ),
    (LINKS, "0,1,1,0\n", ("line 2: bandwidth is 0.0", "give a finite number above 0")),
    (LINKS, "0,1,1,-5\n", ("line 2: bandwidth is -5.0", "give a finite number above 0")),
    # twice, or not at all
    (LINKS, "0,1,1,1\n1,0,1,1\n0,1,2,2\n", ("line 4: the link from 0 to 1 is given twice", "give it once")),
    (LINKS, "0,1,1,1\n", ("has no row from node 1 to 0", "give every pair of its 2 nodes")),
    (LINKS, "0,1,1,1\n1,0,1,1\n2,0,1,1\n", ("has no row from node 0 to 2", "give every pair of its 3 nodes")),
    (LINKS, "0,5000,1,1\n", ("has nodes up to 5000", "give at most 4096 nodes in all")),
    (MACHINES, "0,1\n1,1\n0,2\n", ("line 4: node 0 is given twice", "give it once")),
    (MACHINES, "0,1\n2,1\n", ("line 3: node 2 of 2", "number them from 0, without gaps")),
    # spells
    (TRACE, "0,1,2\n1,5,5\n", ("line 3: down is 5.0 and up 5.0", "give a later down")),
    (TRACE, "0,5,2\n", ("line 2: down is 2.0 and up 5.0", "give a later down")),
    (TRACE, "0,4,6\n1,0,9\n0,0,5\n", ("line 2: node 0 is up from 4.0, before 5.0", "spells that do not overlap")),
    (TRACE, "0,0,1e9\n0,1000000000,1000000000.1\n", ("line 3: the spell from 1000000000.0", "give a longer spell")),
    (TRACE, "0,0,3e9\n", ("is 3e+09 seconds, and clocks count to 2^31", "give a shorter trace")),
    (TRACE, f"{SPELLS}2147483646,0,1\n", ("has node 2147483646, and the times of all needs", "give fewer nodes")),
]


@pytest.mark.parametrize(("read", "rows", "words"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_named_with_its_file_and_line(
    read: Callable[[Any], Any], rows: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "network.csv"
    file.write_text(HEADERS[read] + rows)
    check(lambda: read(file), (str(file), *words))


@pytest.mark.parametrize("read", HEADERS, ids=["links", "machines", "trace"])
def test_what_is_no_table_is_refused(read: Callable[[Any], Any], tmp_path: Path) -> None:
    file, columns = tmp_path / "network.csv", HEADERS[read].strip().split(",")
    with pytest.raises(OSError, match="No such file"):
        read(file)
    for text, words in (
        ("", ("cannot be read as a CSV file", "give comma-separated columns")),
        (HEADERS[read], ("has no rows below its header", "give one a line")),
        (HEADERS[read] + "1," * len(columns) + "1\n", ("cannot be read as a CSV file", "give comma-separated columns")),
        (HEADERS[read].replace(",", ";"), ("has no column " + ", ".join(columns), "give " + ", ".join(columns))),
        *(
            (
                HEADERS[read].replace(name, "x", 1) + ",".join("1" for _ in columns) + "\n",
                (f"has no column {name}, but",),
            )
            for name in columns
        ),
    ):
        file.write_text(text)
        check(lambda: read(file), (str(file), *words))
    file.write_bytes(HEADERS[read].encode() + b"\xff" + b",1" * (len(columns) - 1))
    check(lambda: read(file), (str(file), "invalid utf-8"))


def test_a_path_is_one_file(tmp_path: Path) -> None:
    for name, seconds in (("a[1].csv", 1), ("a1.csv", 2), ("b*.csv", 3), ("bx.csv", 4)):
        (tmp_path / name).write_text(f"node,seconds\n0,{seconds}\n")
    assert [float(MACHINES(tmp_path / name).seconds[0]) for name in ("a[1].csv", "b*.csv")] == [1.0, 3.0]
    with pytest.raises(FileNotFoundError, match=r"path is .*a\?.csv', which cannot be read: No such file .*; give the"):
        MACHINES(tmp_path / "a?.csv")
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe"):
        check(lambda name=name: MACHINES(tmp_path / name), ("which is no regular file", "give the path of a CSV file"))


def test_columns_and_rows_may_come_in_any_order(tmp_path: Path) -> None:
    file = tmp_path / "network.csv"
    file.write_text("bandwidth,place,receiver,latency,sender\n4, Delft,0,0.5,1\r\n2,Bern,1,0.25,0\n8,itself,1,9,1\n")
    read = LINKS(file)
    ends = jnp.array([0, 1, 1], jnp.int32), jnp.array([1, 0, 1], jnp.int32)
    np.testing.assert_allclose(read.takes(*ends, 8.0), [0.25 + 8 / 2, 0.5 + 8 / 4, 8 / 4])  # a node has itself at once
    assert read.uplink(jnp.arange(2, dtype=jnp.int32)).tolist() == [2.0, 4.0]
    file.write_text("seconds,node\n0.5,2\n0.25,0\n 1 , 1 \n")
    assert MACHINES(file).seconds.tolist() == [0.25, 1.0, 0.5]
