"""What every notebook prints before it starts: parameters, device, dtype, versions, commit."""
from __future__ import annotations

from nanoreason.environment import git_commit, package_versions
from nanoreason.params import Params

PACKAGES = ("nanoreason", "torch", "transformers", "peft", "bitsandbytes")


def show(params: Params) -> None:
    """Print the resolved parameters and what the notebook runs on, a line each."""
    # Here, so that a refused parameter is told before torch and transformers are loaded.
    from nanoreason.models import choose_device, choose_dtype

    print(f"profile: {params.profile_reason or params.profile}")
    values = [f"{name}={value!r}" for name, value in params.as_dict().items()
              if name != "profile"]
    for start in range(0, len(values), 4):
        print("  " + ", ".join(values[start:start + 4]))
    device = choose_device()
    print(f"device: {device}, dtype: {choose_dtype(device)[1]}")
    versions = package_versions()
    print("versions: " + ", ".join(f"{name} {versions.get(name, 'absent')}"
                                   for name in PACKAGES))
    commit, dirty = git_commit()
    print(f"commit: {commit or 'unknown'}{' with changes' if dirty else ''}")
