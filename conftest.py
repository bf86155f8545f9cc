"""What all tests are strict about, the doctests of the package too, what they share, and which of them are slow."""

import os
import signal

import pytest
import type_checked
from compiling import compiled_fast as compiled_fast
from compiling import little_optimised as little_optimised

os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
"""Before jax is imported, for the processes that tests start too; users' own code is not forced into it."""

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_parallel_codegen_split_count=1".strip()
"""Small programs are not worth being compiled in parts side by side, least of all where tests are."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a script's background; processes of tests inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

type_checked.install()

SLOW_DOCTESTS = (
    "telejax.algorithms.joint.joint_teleportation",
    "telejax.network.network.Network",
    "telejax.results.live.live",
    "telejax.simulation.simulate.simulate_batch",
    "telejax.studies.advice.advise.advise",
    "telejax.studies.compare.",
    "telejax.studies.search.auto.auto",
    "telejax.studies.search.result.SearchResult",
    "telejax.studies.search.search.search",
    "telejax.studies.sweep.sweep.sweep",
    "telejax.studies.theory.constants.measure",
    "telejax.studies.theory.convergence.",
    "telejax.tasks.local_accuracy.local_accuracy",
    "telejax.tasks.privacy.privacy",
    "telejax.testing.",
)


@pytest.hookimpl(tryfirst=True)  # before "not slow" selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow are the long doctests, and all cases that a ``fast_cases`` mark does not name."""
    for item in items:
        mark = item.get_closest_marker("fast_cases")
        if mark:
            slow = item.callspec.id not in mark.args
        else:
            slow = isinstance(item, pytest.DoctestItem) and item.name.startswith(SLOW_DOCTESTS)
        if slow:
            item.add_marker("slow")


@pytest.fixture(autouse=True, scope="module")
def doctests_compiled_fast(request: pytest.FixtureRequest) -> None:
    """Examples say what is right however it is compiled."""
    if type(request.node).__name__ == "DoctestModule":
        request.getfixturevalue("compiled_fast")
