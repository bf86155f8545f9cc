"""``telejax methods`` tells of every method, in a table of 80 columns."""

import pytest

from telejax.algorithms import registry
from telejax.cli import main
from telejax.cli.compare import Compare


@pytest.mark.slow
def test_every_method_is_in_the_table_uncut(capsys) -> None:
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    rows = {line.split()[0]: line.split() for line in lines if line and line.split()[0] in registry.NAMES}
    assert rows.keys() == {one.name for one in registry.METHODS}
    assert rows["decentralized_sgd"][1:6] == ["any", "32", "16", "0", "biased"]
    assert rows["gradient_tracking"][1:6] == ["any", "64", "16", "2", "exact"]
    assert rows["scaffold"][1:6] == ["-", "16", "4", "1", "exact"]
    for method in registry.METHODS:
        assert rows[method.name][-2:] == method.source.split()


def test_all_are_compared_where_all_are_asked_for() -> None:
    specs = Compare(methods=("all",)).specs
    assert len(specs) == len(registry.METHODS) and "push_sum/directed_exponential" in specs
    assert [one.name for one in Compare(methods=("all",)).build_methods()]
    assert Compare(methods=("token",)).specs == ("token",)


def test_numbers_out_of_range_are_refused(capsys) -> None:
    for arguments, words in (
        (["--nodes", "3"], "--nodes is 3; give an integer of at least 4"),
        (["--active", "99"], "--active is 99; give an integer from 1 to 16"),
    ):
        assert main(["methods", *arguments]) == 2
        assert words in capsys.readouterr().err
