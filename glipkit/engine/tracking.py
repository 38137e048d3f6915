"""Where the curves of a training go beside its own logs: TensorBoard, Weights & Biases, MLflow.

mmengine has the backends; here they are made to write to the work directory, to stay off the
network, and to work with today's releases.
"""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.visualization import MLflowVisBackend, WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

from glipkit.errors import UserError
from glipkit.registry import VISBACKENDS

#: Tracker -> the package that it needs.
TRACKERS = {'tensorboard': 'tensorboard', 'wandb': 'wandb', 'mlflow': 'mlflow'}
#: What a user may have set to something else: no network, no reports to the makers, no greetings.
SETTINGS = {
    'wandb': {'WANDB_MODE': 'offline', 'WANDB_ERROR_REPORTING': 'false', 'WANDB_SILENT': 'true'},
    # Files are MLflow's store that needs no server and no data base; it wants to be asked.
    'mlflow': {'MLFLOW_DISABLE_TELEMETRY': 'true', 'MLFLOW_ALLOW_FILE_STORE': 'true'},
}


@VISBACKENDS.register_module()
class WandbBackend(WandbVisBackend):
    """W&B with the iteration as the axis of every curve; it uploads no code.

    Args:
        save_dir: Folder of the run's files.
        **kwargs: As mmengine's.
    """

    def __init__(self, save_dir: str, **kwargs: Any) -> None:
        super().__init__(save_dir, define_metric_cfg=[dict(name='*', step_metric='step')], **kwargs)

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Records the config."""
        self._wandb.config.update(config.to_dict(), allow_val_change=True)

    @force_init_env
    def add_scalars(self, scalar_dict: Mapping[str, Any], step: int = 0,
                    file_path: str | None = None, **kwargs: Any) -> None:
        """Records values of one step."""
        self._wandb.log({**scalar_dict, 'step': step})

    @force_init_env
    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Records one value."""
        self._wandb.log({name: value, 'step': step})

    def close(self) -> None:
        """Ends the run."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()


@VISBACKENDS.register_module()
class MLflowBackend(MLflowVisBackend):
    """MLflow with the config as a text: its settings are too many and too long for parameters."""

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Records the config."""
        self._mlflow.log_text(config.pretty_text, 'config.py')

    def close(self) -> None:
        """Ends the run; the logs stay where they are."""
        if hasattr(self, '_mlflow'):
            self._mlflow.end_run()


def visualizer(names: Sequence[str], work_dir: str | Path, run: str,
               before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The config of a visualizer that tells trackers, too.

    Args:
        names: Keys of `TRACKERS`.
        work_dir: Their files go to ``tensorboard/``, ``wandb/`` and ``mlruns/`` below it.
        run: Name of the run.
        before: Config of the visualizer that there is; its backends stay.

    Raises:
        UserError: An unknown tracker, or one that is not installed.
    """
    found = dict(before or {'type': 'Visualizer'})
    backends = list(found.get('vis_backends') or [dict(type='LocalVisBackend')])
    check_trackers(names)
    for name in dict.fromkeys(names):
        for key, value in SETTINGS.get(name, {}).items():
            os.environ.setdefault(key, value)
        backends.append(_backend(name, Path(work_dir), run))
    return {**found, 'vis_backends': backends}


def check_trackers(names: Sequence[str]) -> None:
    """Refuses trackers that cannot be had, before the work begins.

    Raises:
        UserError: An unknown tracker, or one that is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UserError(f'a tracker ({", ".join(TRACKERS)})', repr(name), 'pass one of these')
        if find_spec(TRACKERS[name]) is None:
            raise UserError(f'the package {TRACKERS[name]} for --track {name}', 'none installed',
                            f"pip install {TRACKERS[name]}; pip install 'glipkit[track]' brings "
                            'all of them')


def _backend(name: str, work_dir: Path, run: str) -> dict[str, Any]:
    project = work_dir.absolute().name
    if name == 'tensorboard':
        return dict(type='TensorboardVisBackend', save_dir=str(work_dir / 'tensorboard' / run))
    if name == 'wandb':
        # Output is not captured: the log file has it.
        return dict(type='glipkit.WandbBackend', save_dir=str(work_dir), init_kwargs=dict(
            project=project, name=run, dir=str(work_dir), settings=dict(console='off')))
    return dict(type='glipkit.MLflowBackend', save_dir=str(work_dir / 'mlruns'), exp_name=project,
                run_name=run, tracking_uri=os.environ.get('MLFLOW_TRACKING_URI'))
