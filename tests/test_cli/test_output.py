"""Commands and imports say nothing that was not asked for."""
import subprocess
import sys

import pytest


def printed(code: str) -> str:
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True,
                            text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_importing_all_rooms_prints_nothing():
    assert printed('import glipkit.engine, glipkit.models, glipkit.data, glipkit.evaluation, '
                   'glipkit.apis.predictor') == ''
