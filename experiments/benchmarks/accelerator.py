"""Everything that shows whether telejax works, and how fast, on the device that jax finds here.

    make accelerator                              # or: python3 experiments/benchmarks/accelerator.py

Runs ``roofline.py``, ``sampling.py``, ``gradients.py``, ``parts.py``, a comparison of methods on real digits and the
tests that hold on any device, one after another, each within its time; all together take less than ten minutes. Nothing
needs to be installed but python3 with jax: with --wheels, a folder of wheels of what this Python lacks is unpacked
beside the logs.
"""

import argparse  # of Python itself: tyro may be among the wheels
import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = "experiments/benchmarks"
TESTS = ("random", "backend", "mixing", "models", "network", "tasks", "algorithms", "simulation", "convergence")
"""Folders of the tests of what runs on a device; the others speak of files, words and graphs on the host."""


COMMAND = "from telejax.cli import command; command()"
EXACTLY = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
"""What tests compare is computed in float32 everywhere."""


@dataclass(frozen=True)
class Job:
    name: str
    command: list[str]
    seconds: int
    """At most."""
    environment: dict[str, str] = field(default_factory=dict)


def jobs(accelerator: bool) -> list[Job]:
    workers = max(1, min(8, (os.cpu_count() or 2) // 2))
    side_by_side = ["-n", str(workers)] if importlib.util.find_spec("xdist") else []
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not cpu"]
    return [
        Job("roofline", [f"{HERE}/roofline.py"], 150),
        Job("sampling", [f"{HERE}/sampling.py"], 120),
        Job("gradients", [f"{HERE}/gradients.py", "--nodes", "1000" if accelerator else "25"], 100),
        Job("parts", [f"{HERE}/parts.py"], 60),
        Job("demo", ["-c", COMMAND, "compare", "--out", "runs/accelerator/demo", "--force"], 120),
        Job("tests", [*pytest, *side_by_side, *(f"tests/{one}" for one in TESTS)], 240, EXACTLY),
    ]


def run(job: Job, folder: Path, environment: dict[str, str]) -> tuple[str, float, str]:
    """What became of a job, in how many seconds, and the last line that it wrote."""
    log = folder / f"{job.name}.log"
    start = time.perf_counter()
    with log.open("w") as written:
        try:
            done = subprocess.run(
                [sys.executable, *job.command],
                cwd=ROOT,
                env=environment | job.environment,
                stdout=written,
                stderr=subprocess.STDOUT,
                timeout=job.seconds,
            )
            result = "done" if done.returncode == 0 else f"exit {done.returncode}"
        except subprocess.TimeoutExpired:
            result = f"over {job.seconds} s"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return result, time.perf_counter() - start, lines[-1] if lines else ""


def unpacked(wheels: Path, folder: Path) -> Path:
    """The packages of some wheels, without anything of the network."""
    site = folder / "site"
    options = ["--quiet", "--no-index", "--no-deps", "--upgrade", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *map(str, wheels.glob("*.whl"))], check=True)
    return site


def main(wheels: Path | None) -> None:
    folder = ROOT / "runs" / "accelerator"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(ROOT), *([str(unpacked(wheels, folder))] if wheels else [])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # tests run side by side
        "COLUMNS": "120",
    }
    asked = "import jax; one = jax.devices()[0]; print(one.platform, one.device_kind, sep='|')"
    told = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    platform, kind = told.stdout.strip().splitlines()[-1].split("|")
    print(f"{kind} ({platform}); logs in {folder}", flush=True)
    failed = False
    for job in jobs(platform != "cpu"):
        result, seconds, last = run(job, folder, environment)
        failed |= result != "done"
        print(f"{job.name:10s} {result:10s} {seconds:5.0f} s   {last[:110]}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--wheels", type=Path, help="a folder of wheels")
    given = asked.parse_args().wheels
    if given is not None and not any(given.glob("*.whl")):
        asked.error(f"--wheels is {str(given)!r}, where there are no wheels; give the folder of some, or leave it out")
    main(given)
