"""Nothing that a checkpoint holds is run, and no file that it names is touched, by a training."""
from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from glipkit.apis.training import build_runner, load_config, train
from glipkit.cli.main import main
from glipkit.engine.runner import check_resumable
from glipkit.errors import UserError

pytestmark = pytest.mark.slow

OPTIONS = {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 1,
           'val_dataloader.dataset.indices': 1, 'default_hooks.checkpoint.interval': 1}


class Touch:
    """Makes a file when it is unpickled by anything that obeys."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return eval, (f'open({self.path!r}, "w")', )


@pytest.fixture(scope='module')
def trained() -> dict:
    """Filled by the first test that needs it."""
    return {}


@pytest.fixture
def first(config, tmp_path, trained) -> dict:
    """What the checkpoint after one iteration of the tiny config holds."""
    if not trained:
        cfg = load_config(str(config), OPTIONS, str(tmp_path / 'first'))
        cfg.train_cfg.max_iters = 1
        train(cfg)
        trained.update(torch.load(tmp_path / 'first' / 'iter_1.pth', weights_only=False))
    return copy.deepcopy(trained)


def resume(config, tmp_path, content, **options):
    path = tmp_path / 'given.pth'
    torch.save(content, path)
    return train(load_config(str(config), {**OPTIONS, **options}, str(tmp_path / 'work')),
                 resume=str(path))


def first_moments(content) -> torch.Tensor:
    return next(iter(content['optimizer']['state'].values()))['exp_avg']


def test_text_of_a_config_is_not_run(config, tmp_path, first):
    trace = tmp_path / 'trace'
    code = f'open({str(trace)!r}, "w")\n'
    first['meta'].update(config=code, cfg=code)
    resume(config, tmp_path, first)
    assert not trace.exists()
    assert (tmp_path / 'work' / 'iter_2.pth').is_file()


@pytest.mark.parametrize('place, how', [
    ('meta', '--resume'), ('optimizer', '--resume'), ('message_hub', 'load_from'),
    ('plateau', 'load_from'),
])
def test_objects_are_not_made(config, tmp_path, first, capsys, place, how):
    trace, path = tmp_path / 'trace', tmp_path / 'given.pth'
    first[place] = [first.get(place), Touch(trace)]
    torch.save(first, path)
    arguments = ['--resume', str(path)] if how == '--resume' else \
        ['--cfg-options', f'load_from={path}']
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'work'), *arguments]) == 2
    assert 'never runs code' in capsys.readouterr().err.splitlines()[-1]
    assert not trace.exists()


def test_files_that_a_checkpoint_names_stay(config, tmp_path, first):
    victim = tmp_path / 'best_victim.pth'
    victim.write_text('dear')
    (tmp_path / 'work').mkdir()
    mine = tmp_path / 'work' / 'mine.pth'
    mine.write_text('dear')
    hub = first['message_hub']['runtime_info']
    hub.update({'best_ckpt': str(victim), 'best_ckpt_coco/AP50': str(mine), 'best_score': -9.,
                'best_score_coco/AP50': -9., 'best_score_coco/AP': -9.,
                'best_ckpt_coco/AP': f'{tmp_path}/work/../best_victim.pth',
                'keep_ckpt_ids': ['../../best_victim']})
    first['message_hub']['resumed_keys'].update(dict.fromkeys(hub, True))
    resume(config, tmp_path, first, **{'default_hooks.checkpoint.save_best': ['coco/AP',
                                                                             'coco/AP50'],
                                       'default_hooks.checkpoint.rule': 'greater'})
    assert victim.read_text() == mine.read_text() == 'dear'
    assert list((tmp_path / 'work').glob('best_coco_AP50_*.pth'))


@pytest.mark.parametrize('place', ['load_from', 'init_cfg'])
def test_weights_that_mmengine_reads_itself_are_not_run(config, tmp_path, place):
    trace, path = tmp_path / 'trace', tmp_path / 'evil.pth'
    torch.save({'state_dict': {}, 'more': Touch(trace)}, path)
    option = {'load_from': str(path)} if place == 'load_from' else {
        'model.backbone.init_cfg': dict(type='Pretrained', checkpoint=str(path))}
    with pytest.raises(UserError, match='never runs code'):
        train(load_config(str(config), {**OPTIONS, **option}, str(tmp_path / 'work')))
    assert not trace.exists()


@pytest.mark.parametrize('change', [
    lambda c: c.pop('message_hub'), lambda c: c.update(meta=[1]),
    lambda c: c.update(state_dict={'a': 1}), lambda c: c['state_dict'].popitem(),
    lambda c: c['ema_state_dict'].update({'module.other': torch.ones(1)}),
    lambda c: next(iter(c['state_dict'].values())).fill_(torch.nan),
    lambda c: c.update(optimizer=[1]), lambda c: c['optimizer'].pop('state'),
    lambda c: c['optimizer']['param_groups'].pop(),
    lambda c: c['optimizer']['param_groups'][0].update(lr='fast'),
    lambda c: c['optimizer']['param_groups'][0].update(betas=(.9, torch.nan)),
    lambda c: c['optimizer']['param_groups'][0].update(params=None),
    lambda c: c['optimizer']['state'].update({99999: {}}),
    lambda c: c['optimizer']['state'].update({0: 'x'}),
    lambda c: first_moments(c).resize_(1, 1, 1), lambda c: first_moments(c).fill_(torch.inf),
    lambda c: c.update(param_schedulers=3), lambda c: c.update(param_schedulers=[1]),
    lambda c: c['param_schedulers'][0].update(last_step='x'),
    lambda c: c['param_schedulers'][0].update(last_step=torch.nan),
    lambda c: c['param_schedulers'][0].update(optimizer=1),
])
def test_what_no_training_wrote_is_one_line(config, tmp_path, first, capsys, change):
    change(first)
    torch.save(first, tmp_path / 'given.pth')
    assert main(['train', str(config), '--work-dir', str(tmp_path / 'work'), '--resume',
                 str(tmp_path / 'given.pth')]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert 'given.pth' in error and 'expected' in error
    assert not list(tmp_path.glob('work/*.pth'))


@pytest.mark.parametrize('meta, hub', [
    ({'epoch': 0}, True), ({'epoch': '0', 'iter': 1}, True), ({'epoch': 0, 'iter': -1}, True),
    ({'epoch': 0, 'iter': 1}, False),
])
def test_how_far_the_training_was_has_to_be_known(tmp_path, meta, hub):
    empty = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    with pytest.raises(UserError, match='epoch, iteration and logs; got a.pth'):
        check_resumable({'meta': meta, 'message_hub': empty if hub else {}}, 'a.pth', tmp_path)


@pytest.mark.parametrize('lost, named', [('weights', 'backbone.'), ('loss', 'loss')])
def test_a_training_that_diverges_ends_at_once(config, tmp_path, monkeypatch, lost, named):
    """And names tensor and iteration; nothing after it is saved."""
    cfg = load_config(str(config), {**OPTIONS, 'train_cfg.max_iters': 4}, str(tmp_path / 'work'))
    runner = build_runner(cfg)
    name, weight = next(iter(runner.model.backbone.named_parameters()))
    step = runner.model.train_step

    def poisoned(*args, **kwargs):
        outputs = step(*args, **kwargs)
        if runner.iter == 1:
            weight.data.view(-1)[0] = torch.inf
            if lost == 'loss':
                outputs['loss_bbox'] = torch.tensor(torch.nan)
        return outputs

    monkeypatch.setattr(runner.model, 'train_step', poisoned)
    with pytest.raises(UserError, match=f'backbone.{name} at iteration 2;') as caught:
        runner.train()
    assert ('loss_bbox and then' in str(caught.value)) == (lost == 'loss')
    assert [p.name for p in (tmp_path / 'work').glob('*.pth')] == ['iter_1.pth']
