"""Notebooks executed by papermill and by nbval, in kernels of their own."""
from __future__ import annotations

import os
import subprocess
import sys

from nanoreason import paths

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))  # the numbered ones, then the study
# A kernel chooses its own matplotlib backend: with the tests' Agg, figures would not show.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
ENVIRONMENT |= {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}


def papermill(*arguments, cwd=paths.NOTEBOOKS, home=None, timeout=400):
    environment = ENVIRONMENT | ({"NANOREASON_HOME": str(home)} if home else {})
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", *arguments],
                          cwd=cwd, env=environment, capture_output=True, text=True,
                          timeout=timeout)


def nbval(path, *arguments, home=None):
    environment = ENVIRONMENT | ({"NANOREASON_HOME": str(home)} if home else {})
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir",
         str(path.parent), *arguments, "--nbval-current-env", "--nbval-cell-timeout", "300",
         str(path)], cwd=path.parent, env=environment, capture_output=True, text=True,
        timeout=600)
