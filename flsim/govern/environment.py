"""The environment of a run: versions and platform. They are told, and are part of no result's hash."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("flsim-des", "torch", "torchvision", "numpy", "simpy", "pyarrow", "pydantic", "scikit-learn")
_CHECKOUT = Path(__file__).parents[2]


def environment() -> dict[str, str | None]:
    """Return the versions of Python, of the packages that results depend on, and of flsim's source.

    `commit`: of the checkout that flsim runs from, with `-dirty` if files differ from it; None if it runs
    from an installed package.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "commit": _commit(),
        **{package: _version(package) for package in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    if not (_CHECKOUT / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=_CHECKOUT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
