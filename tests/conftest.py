"""What all tests share: no network, no display, one seedable place for runs."""
import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that needs the hub must say so itself
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each: side by side, more hold each other up
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where a test takes two, neither spins

from pathlib import Path

import hypothesis
import pytest

from nanoreason import paths
from nanoreason.environment import cores

# Times differ too much between machines for hypothesis' deadline to mean anything.
hypothesis.settings.register_profile("nanoreason", deadline=None)
hypothesis.settings.load_profile("nanoreason")

# Files with the longest tests. Begun first, they leave no worker alone with one at the end.
LONGEST = ("test_notebooks.py", "test_notebook_runs.py", "test_faults.py", "test_grid.py",
           "test_readme.py", "test_ablation_results.py", "test_train.py")


def pytest_xdist_auto_num_workers():
    """One more than there are cores: many tests wait, for a server or a process of their own."""
    return cores() + 1


def pytest_collection_finish():
    """What was imported stays: every training's collection of garbage would go through it."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder in which runs are made and looked for, in place of the checkout."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "build" / "runs")
    monkeypatch.setattr(paths, "STUDY", tmp_path / "build" / "study")
    return tmp_path


@pytest.fixture(scope="session")
def gsm8k():
    """The folder of GSM8K's files; where there is none, the test is skipped and says so."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k"
    folder = Path(os.environ.get("NANOREASON_GSM8K", beside))
    if not folder.is_dir():
        pytest.skip(f"no GSM8K in {folder}; set NANOREASON_GSM8K to a folder with its files")
    return folder


@pytest.fixture(scope="module")
def benchmark_scripts():
    """The scripts of benchmarks/ can import each other, as when one of them is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(paths.ROOT / "benchmarks"))
        yield
