"""How the benchmarks write what they found: nothing comes into results/ without its commit."""
from pathlib import Path

from nanoreason import paths
from nanoreason.environment import describe
from nanoreason.files import write_json


def write_result(path: Path, found: dict, recorded: bool = False) -> Path:
    """Write what a benchmark found as JSON, with what it ran on; returns where it lies.

    `environment` is that of `found`, else this process's. recorded: the parts of `found`, or the
    run that it belongs to, say what they ran on, and nothing is added. What is for the checkout's
    results/ and has no commit, because it was made in a copy without git, is kept below build/ in
    its place, and that is said.
    """
    ran_on = found.get("environment") or describe()
    results = Path(__file__).resolve().parents[1] / "results"
    if ran_on["commit"] is None and results in path.resolve().parents:
        path = paths.BUILD / path.name
        print(f"results name the commit that made them, and git tells none here: see {path}")
    write_json(path, found if recorded else {**found, "environment": ran_on})
    return path
