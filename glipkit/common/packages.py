"""Files that come with other packages, found without importing these."""
from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def package_file(package: str, file: str) -> Path | None:
    """The path of a file of an installed package; None where there is none.

    Args:
        package: Name by which the package is imported; its code does not run.
        file: Path below the package's folder.
    """
    spec = find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((path for path in (Path(folder) / file for folder in folders)
                 if path.is_file()), None)
