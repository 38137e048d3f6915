"""Ships ``configs/`` inside the wheel, as ``glipkit/configs``; the rest is in pyproject.toml."""
from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithConfigs(build_py):
    """Copies the configs beside the code; an editable installation reads them where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / 'glipkit' / 'configs'
            rmtree(target, ignore_errors=True)
            copytree(ROOT / 'configs', target, ignore=ignore_patterns('__pycache__', '*.pyc'))


setup(cmdclass={'build_py': BuildWithConfigs})
