"""Does what is advised hold? The example sites, advised, and each recommendation simulated anew with other seeds.

    python experiments/advice.py

Prints a table with a column an example: what is recommended, how long advising took, with how many of ten other seeds
the recommended setting meets the aim, and the accuracies on the sites' own data (lowest and highest over seeds) then,
in the pilot, and where a fifth of the sites is away, one of twenty lies, or a tenth of the messages is lost. About five
minutes on two cores.
"""

import argparse
import time
from pathlib import Path

import polars as pl

import telejax as tj

SITES = Path(__file__).parent / "sites"


def row(file: Path, seeds: int) -> dict[str, object]:
    """Advise the sites of a file, and check the advice."""
    began = time.perf_counter()
    found = tj.advise(file)
    took = time.perf_counter() - began
    told: dict[str, object] = {"sites": file.stem, "recommended": found.recommended, "seconds": round(took)}
    if found.recommended is None:
        return told
    checked = found.check(seeds)
    told |= {"meets": f"{checked['meets'].sum()} of {seeds}", "accuracy": ends(checked["accuracy"])}
    for name, one in {"pilot": found.pilot, **found.stress}.items():
        last = one.history.filter(pl.col("round") == pl.col("round").max()) if one is not None else None
        told[name] = None if last is None else ends(last["accuracy_local"])
    return told


def ends(values: pl.Series) -> str:
    """The lowest and the highest."""
    return f"{values.min():.3f} to {values.max():.3f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=sorted(SITES.glob("*.toml")))
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    rows = [{name: str(value) for name, value in row(file, given.seeds).items()} for file in given.files]
    table = pl.DataFrame(rows, infer_schema_length=None)
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, fmt_str_lengths=60):
        print(table.drop("sites").transpose(include_header=True, header_name="", column_names=table["sites"].to_list()))
