"""What a run ran on: versions, hardware, commit, dtype and its reason, seconds, memory.

Results without this cannot be compared. No host name, user name or path is recorded.
"""
from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from importlib import metadata
from typing import Any

from nanoreason import host, paths
from nanoreason.table import Table

VERSION = "0.1.0"
GIB = 2**30
GPU_FIRST = ("one", "GPUs")  # how a profile's needs begin, where nothing else will do
PACKAGES = ("nanoreason", "torch", "transformers", "peft", "bitsandbytes")  # in an opening


def describe(*, dtype: str | None = None, dtype_reason: str | None = None,
             seconds: float | None = None) -> dict[str, Any]:
    """The contents of environment.json.

    dtype: what was computed in, e.g. "float32", and why; seconds: wall time of the work;
    peak_memory_bytes: of this process, peak_gpu_memory_bytes: of torch on all its GPUs
    together (None without any). None stands for what is not known.
    """
    commit, dirty = git_commit()
    return {"python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "packages": package_versions(), "hardware": hardware(),
            "commit": commit, "dirty": dirty, "dtype": dtype, "dtype_reason": dtype_reason,
            "seconds": None if seconds is None else round(seconds, 1),
            "peak_memory_bytes": peak_memory(), "peak_gpu_memory_bytes": peak_gpu_memory()}


@lru_cache
def package_versions() -> dict[str, str]:
    """Version of this package and of each package it declares, where installed."""
    if paths.CHECKOUT:  # else from the installed metadata
        import tomllib

        project = tomllib.loads((paths.CHECKOUT / "pyproject.toml").read_text())["project"]
        lines = project["dependencies"] + project["optional-dependencies"]["notebooks"]
    else:
        lines = metadata.requires("nanoreason") or []
    versions = {"nanoreason": VERSION}
    for name in sorted({re.match(r"[A-Za-z0-9._-]+", line).group() for line in lines}):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, Any]:
    """CPU model, cores that this process may use, memory in GiB, names of the GPUs."""
    import psutil

    torch = sys.modules.get("torch")  # a run that never loaded torch used no GPU
    gpus = range(torch.cuda.device_count()) if torch else ()
    return {"cpu": _cpu_model(), "cores": cores(),
            "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
            "gpus": [torch.cuda.get_device_name(i) for i in gpus]}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_processes(name: str, asked: int) -> None:
    """Refuse more processes than cores (two are always good): each loads torch and a model.

    Raises ValueError that names the parameter, `name`.
    """
    most = max(2, cores())
    if asked > most:
        raise host.GivenError(f"{name} = {asked}, but this process may use {cores()} core(s), and "
                              f"each of them loads torch and a model; set {name} to {most} or less")


def free_memory(device) -> int:
    """Bytes that are free where `device`, a `torch.device`, computes."""
    import psutil
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" \
        else psutil.virtual_memory().available


def _cpu_model() -> str:
    if sys.platform.startswith("linux"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def peak_memory() -> int | None:
    """Most memory that this process held at once, in bytes; None where the system hides it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def peak_gpu_memory() -> int | None:
    """Most memory that torch held on its GPUs, summed, in bytes; None without any."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return sum(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count()))


def git_commit() -> tuple[str | None, bool | None]:
    """The commit that runs, and whether the tree differs from it.

    In a checkout from git; installed from a git address from pip's own record, whose tree
    is clean; (None, None) where neither is there.
    """
    if paths.CHECKOUT:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain")
        return commit, None if commit is None else bool(changes)
    try:
        record = metadata.distribution("nanoreason").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        record = None
    commit = json.loads(record).get("vcs_info", {}).get("commit_id") if record else None
    return commit, None if commit is None else False


def _git(*arguments: str) -> str | None:
    """What git prints, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(paths.CHECKOUT), *arguments],
                              capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def choose_device():
    """This process's GPU if there is one, else the CPU: a `torch.device`."""
    import torch  # here, so that a refused parameter is told before torch is loaded

    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def choose_dtype(device) -> tuple[Any, str]:
    """The compute type (a `torch.dtype`) for a device, and the reason for it in a sentence."""
    import torch

    if device.type != "cuda":
        return torch.float32, "float32: half precision is emulated, and slow, on a CPU"
    # is_bf16_supported() also says yes where bf16 is only emulated, as on a T4.
    major, minor = torch.cuda.get_device_capability(device)
    if major >= 8:
        return torch.bfloat16, f"bfloat16: compute capability {major}.{minor} has it in hardware"
    return torch.float16, f"float16 with a scaler: capability {major}.{minor} has no bfloat16"


def show(params) -> Table:
    """What a notebook computes with and runs on, printed, and its parameters as a table.

    params: a `params.Params`. What the hub may ask for is taken from the platform's secrets.
    """
    device = choose_device()
    print(f"profile: {params.profile_reason or params.profile}")
    print(f"it needs: {params.needs}")
    print(f"device: {device}, dtype: {choose_dtype(device)[1]}")
    versions = package_versions()
    print("versions: " + ", ".join(f"{name} {versions.get(name, 'absent')}"
                                   for name in PACKAGES))
    commit, dirty = git_commit()
    print(f"commit: {commit or 'unknown'}{' with changes' if dirty else ''}")
    lacks_gpu = device.type == "cpu" and params.needs.partition(" ")[0] in GPU_FIRST
    for line in host.settle(paths.home(), lacks_gpu):
        print(line)
    return Table("Parameters in force", ("parameter", "value", "set by"), params.in_force())
