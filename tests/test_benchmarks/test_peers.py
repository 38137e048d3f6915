"""Peers: their environment, and what is adapted so that they can be compared."""
from __future__ import annotations

import json
import subprocess
import types

import pytest
import torch

from glipkit.benchmarks.peers import PEERS, environment, mm_grounding_dino, mmdet_glip
from glipkit.benchmarks.peers.environment import STAMP, peer_python
from glipkit.benchmarks.workload import Workload
from glipkit.errors import UserError


@pytest.fixture
def pip(monkeypatch):
    """pip that installs nothing; what it was asked for."""
    asked = []

    def run(command, **_):
        asked.append(command[-1])
        if command[0] in fail:
            return types.SimpleNamespace(returncode=1, stdout='', stderr='a\nno network\n')
        return types.SimpleNamespace(returncode=0, stdout='4.53.3\n', stderr='')

    fail = set()
    fake = types.SimpleNamespace(run=run)
    monkeypatch.setattr(environment, 'subprocess', fake)
    return types.SimpleNamespace(asked=asked, fail=fail)


def test_an_environment_sees_the_running_one_and_is_kept(pip, tmp_path):
    folder = tmp_path / 'deep' / 'env'
    python = peer_python(folder, '4.53.3')
    assert pip.asked[0] == 'transformers==4.53.3'
    code = 'import sys, tqdm; print(sys.prefix, tqdm.__file__)'
    prefix, file = subprocess.run([python, '-c', code], capture_output=True, text=True,
                                  check=True).stdout.split()
    assert prefix == str(folder)
    assert not file.startswith(str(folder))
    count = len(pip.asked)
    assert peer_python(folder, '4.53.3') == python
    assert len(pip.asked) == count
    assert [path.name for path in folder.parent.iterdir()] == ['env']


def test_an_environment_of_other_versions_is_made_anew(pip, tmp_path):
    folder = tmp_path / 'env'
    peer_python(folder, '4.53.3')
    (folder / 'old').touch()
    stamp = json.loads((folder / STAMP).read_text())
    (folder / STAMP).write_text(json.dumps({**stamp, 'torch': '1.0'}))
    peer_python(folder, '4.53.3')
    assert not (folder / 'old').exists()
    assert json.loads((folder / STAMP).read_text()) == stamp


def test_a_folder_of_somebody_else_s_is_left_alone(pip, tmp_path):
    (tmp_path / 'thesis.tex').touch()
    with pytest.raises(UserError, match='other things in it'):
        peer_python(tmp_path, '4.53.3')
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_what_pip_says_is_one_line_and_nothing_stays(pip, tmp_path):
    pip.fail.add(environment.sys.executable)
    with pytest.raises(UserError, match='got no network; check the network'):
        peer_python(tmp_path / 'env', '4.53.3')
    assert not list(tmp_path.iterdir())


def test_a_version_that_something_hides_is_noticed(pip, tmp_path):
    with pytest.raises(UserError, match='expected transformers 4.0'):
        peer_python(tmp_path / 'env', '4.0')
    assert not list(tmp_path.iterdir())


def test_mmdet_has_the_configs_that_are_named():
    for name in PEERS['mmdet'].configs.values():
        assert (mmdet_glip.CONFIGS / name).is_file()


def test_upsampling_is_bilinear_inside_the_block_only():
    x = torch.tensor([[[[0., 1.]]]])
    with mmdet_glip.bilinear_upsampling():
        inside = mmdet_glip.port_head.F.interpolate(x, size=[1, 3])
        assert mmdet_glip.port_head.F.relu is torch.nn.functional.relu
    assert inside.flatten().tolist() == [0, .5, 1]
    assert mmdet_glip.port_head.F.interpolate(x, size=[1, 4]).flatten().tolist() == [0, 0, 1, 1]


def test_boxes_in_fractions_of_the_image():
    work = Workload('', (100, 200), batch=1)
    text = work.captions()[0]
    text.boxes[0] = torch.tensor([20., 10., 60., 90.])
    assert mm_grounding_dino._labels(text, work)['boxes'][0].tolist() == \
        pytest.approx([.2, .5, .2, .8])


def test_an_image_too_small_for_its_queries():
    with pytest.raises(UserError, match='larger --image'):
        mm_grounding_dino._check_positions((128, 160), 900)
    mm_grounding_dino._check_positions((256, 320), 900)
