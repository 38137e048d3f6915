"""The version guard: one error that lists everything glipkit cannot run with."""
from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from packaging.version import Version


@dataclass(frozen=True)
class Requirement:
    """One library that glipkit needs.

    Args:
        module: Import name.
        distributions: Names under which a package index may offer it, the recommended one first.
        at_least: Oldest version that works.
        below: First version that is not known to work.
    """
    module: str
    distributions: tuple[str, ...]
    at_least: str
    below: str

    @property
    def range(self) -> str:
        return f'>={self.at_least},<{self.below}'


REQUIREMENTS = (
    Requirement('torch', ('torch', ), '2.6', '3'),
    Requirement('torchvision', ('torchvision', ), '0.21', '1'),
    Requirement('mmengine', ('onedl-mmengine', 'mmengine', 'mmengine-lite'), '0.10.7', '1'),
    Requirement('mmcv', ('onedl-mmcv', 'mmcv', 'mmcv-lite'), '2.0.0', '3'),
    Requirement('mmdet', ('onedl-mmdetection', 'mmdet'), '3.3.0', '4'),
)


def installed_versions(requirement: Requirement) -> dict[str, str]:
    """Distribution name -> version, for each name of ``requirement`` that is installed."""
    found = {}
    for name in requirement.distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _problem(requirement: Requirement) -> str | None:
    """What is wrong with one library, or None."""
    found = installed_versions(requirement)
    wanted = f'{requirement.distributions[0]}{requirement.range}'
    if not found:
        # A source checkout on the path has no metadata; its version is not known.
        return None if find_spec(requirement.module) else f'expected {wanted}, got none'
    low, high = Version(requirement.at_least), Version(requirement.below)
    # A local build ('2.15.0+cu132') counts as its release, a pre-release as the coming one.
    if any(low.release <= Version(v).release < high.release for v in found.values()):
        return None
    got = ', '.join(f'{name} {v}' for name, v in found.items())
    return f'expected {wanted}, got {got}'


def check_versions(requirements: tuple[Requirement, ...] = REQUIREMENTS) -> None:
    """Refuse libraries that are missing, too old or too new.

    Reads package metadata only, so nothing is imported.

    Raises:
        ImportError: Lists every library that does not fit, and the command that installs it.
    """
    problems = [(r, text) for r in requirements if (text := _problem(r))]
    if problems:
        command = ' '.join(f"'{r.distributions[0]}{r.range}'" for r, _ in problems)
        raise ImportError('glipkit cannot run with the installed libraries: '
                          + '; '.join(text for _, text in problems)
                          + f'. Run: pip install {command}')
