"""mmengine's runner with the differences that glipkit needs."""
from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from glipkit.checkpoints.files import only_data
from glipkit.checkpoints.loading import check_state, fit_state, read_training_checkpoint
from glipkit.checkpoints.soundness import check_statistics
from glipkit.common.allocator import keep_freed_memory
from glipkit.common.precision import require_bfloat16
from glipkit.common.tf32 import set_tf32
from glipkit.common.waiting import wait_briefly_in_a_crowd
from glipkit.engine.hooks.best import check_monitored, check_names, with_rules
from glipkit.engine.hooks.finite import FiniteHook
from glipkit.engine.optim.autocast import AutocastOptimWrapper
from glipkit.engine.optim.fused import fused_on_gpu
from glipkit.engine.resuming import check_progress
from glipkit.engine.token_budgets import share_tokenizer
from glipkit.errors import UserError
from glipkit.files import atomic, remove_unfinished
from glipkit.models.contract import GroundingDetector
from glipkit.registry import RUNNERS

#: A line per hook or per parameter, of which a tower has hundreds.
_LISTS = re.compile(r'Hooks will be executed in the following order|paramwise_options -- '
                    r'|\S+ is skipped since its requires_grad=False')


@RUNNERS.register_module()
class GroundingRunner(Runner):
    """Runner that also distributes over CPU processes and never executes a pickle.

    * Without a GPU the processes talk through gloo and the model is wrapped without device ids.
    * ``resume`` and ``load_from`` take tensors, numbers and text from a file; one that would have
      to execute code to be read is refused, and so are weights that are not finite.
    * A checkpoint on a local disk appears whole or not at all.
    * A training ends at the iteration that makes a weight NaN or infinite, before it is saved.
    * bfloat16 is refused on a processor that is slower at it than at float32, before it starts.
    """

    _resumes = False

    def register_hooks(self, default_hooks: dict | None = None,
                       custom_hooks: list | None = None) -> None:
        """Register hooks, which know our scores; one stops a training that has diverged."""
        default_hooks = {name: with_rules(hook) for name, hook in (default_hooks or {}).items()}
        super().register_hooks(default_hooks, [with_rules(hook) for hook in custom_hooks or ()])
        self.register_hook(FiniteHook())

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call all hooks; a score that one of them follows has to be there."""
        if fn_name == 'after_val_epoch' and kwargs.get('metrics'):
            check_monitored(self._hooks, kwargs['metrics'])
        super().call_hook(fn_name, **kwargs)

    def setup_env(self, env_cfg: dict) -> None:
        """Open the process group; gloo where there is no GPU. ``tf32`` allows TF32 on a GPU.

        Threads share the processors.
        """
        wait_briefly_in_a_crowd()
        keep_freed_memory()
        if torch.cuda.is_available():
            set_tf32(bool(env_cfg.get('tf32', False)))
        if self.distributed and not torch.cuda.is_available() \
                and not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
        super().setup_env(env_cfg)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; lists of hooks and of parameters go to the log file alone."""
        built = super().build_logger(*args, **kwargs)
        for handler in built.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_for_people)
        return built

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop; the training set gets the tokenizer of the model."""
        built = super().build_train_loop(loop)
        model = getattr(self.model, 'module', self.model)
        if isinstance(model, GroundingDetector):
            share_tokenizer(model, built.dataloader.dataset)
        return built

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap for distributed training."""
        if model_wrapper_cfg is not None or not self.distributed or torch.cuda.is_available():
            return super().wrap_model(model_wrapper_cfg, model)
        return MMDistributedDataParallel(
            module=model,
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False))

    def train(self) -> nn.Module:
        """Train; no checkpoint that is read on the way runs code."""
        with only_data():
            return super().train()

    def val(self) -> dict:
        """Evaluate on the validation set; as :meth:`train`."""
        with only_data():
            return super().val()

    def test(self) -> dict:
        """Evaluate on the test set; as :meth:`train`."""
        with only_data():
            return super().test()

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimiser with its precision; on a GPU with a fused step."""
        built: OptimWrapper = super().build_optim_wrapper(
            fused_on_gpu(optim_wrapper, self.model))
        if isinstance(built, AutocastOptimWrapper):
            require_bfloat16('AutocastOptimWrapper', get_device())
        return built

    def build_val_loop(self, loop: Any) -> BaseLoop:
        """Build the loop of evaluations during training."""
        built = _checked(super().build_val_loop(loop), 'val_cfg.fp16')
        check_names(self._hooks, built.evaluator.metrics)
        return built

    def build_test_loop(self, loop: Any) -> BaseLoop:
        """Build the loop of a test."""
        return _checked(super().build_test_loop(loop), 'test_cfg.fp16')

    def resume(self, filename: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Resume from a checkpoint of a training; arguments as in mmengine."""
        self._resumes = True
        super().resume(filename, *args, **kwargs)

    def load_checkpoint(self,
                        filename: str | os.PathLike,
                        map_location: Any = 'cpu',
                        strict: bool = True,
                        revise_keys: list | None = None) -> dict:
        """Load a training checkpoint into the model; missing or unexpected keys are refused."""
        checkpoint = read_training_checkpoint(filename, map_location)
        model = getattr(self.model, 'module', self.model)
        if self._resumes:
            check_resumable(checkpoint, filename, self.work_dir)
            if isinstance(self.optim_wrapper, OptimWrapper):  # a test leaves it a config
                check_progress(checkpoint, filename, self.optim_wrapper.optimizer,
                               self.param_schedulers)
        else:
            checkpoint, remark = fit_state(model, checkpoint, filename)
            if remark:
                self.logger.info(remark)
        check_state(model, checkpoint, filename, whole=False)  # hooks may add what is missing
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        check_state(model, checkpoint, filename, strict)
        check_statistics(checkpoint['state_dict'], model.state_dict(), filename)
        model.load_state_dict(checkpoint['state_dict'], strict=strict)
        self.logger.info(f'loaded {filename}')
        return checkpoint

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint, complete or not at all; for the arguments see mmengine."""
        target = Path(out_dir) / filename
        if not target.parent.is_dir():  # a remote folder, which its own backend looks after
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        remove_unfinished(target.parent, target.name)
        with atomic(target) as temporary:
            super().save_checkpoint(out_dir, temporary.name, *args, **kwargs)


def _is_for_people(record: logging.LogRecord) -> bool:
    return not _LISTS.match(record.getMessage())


def check_resumable(checkpoint: dict, path: str | os.PathLike, work_dir: str) -> None:
    """Refuses what no training wrote, and forgets files that the training did not make.

    Hooks remove the files that their memory calls outdated.

    Args:
        checkpoint: From :func:`read_training_checkpoint`; its message hub is changed.
        path: The file, for messages.
        work_dir: Folder of the training.

    Raises:
        UserError: It does not say how far the training was.
    """
    meta, hub = checkpoint['meta'], checkpoint.get('message_hub')
    counted = all(type(meta.get(key)) is int and meta[key] >= 0 for key in ('epoch', 'iter'))
    parts = ('log_scalars', 'runtime_info', 'resumed_keys')
    if not counted or not isinstance(hub, dict) \
            or not all(isinstance(hub.get(part), dict) for part in parts):
        raise UserError('a checkpoint of a training, with epoch, iteration and logs', str(path),
                        'start from its weights with load_from=... instead of resuming')
    own = Path(work_dir).resolve()
    for key, value in list(hub['runtime_info'].items()):
        name = str(key)
        if name.startswith('best_ckpt') or name == 'last_ckpt':
            best = Path(str(value))
            if best.resolve().parent != own or best.suffix != '.pth' \
                    or name.startswith('best_ckpt') and not best.name.startswith('best_'):
                del hub['runtime_info'][key]
        elif name == 'keep_ckpt_ids' and (not isinstance(value, list)
                                          or not all(type(step) is int for step in value)):
            del hub['runtime_info'][key]


def _checked(loop: BaseLoop, setting: str) -> BaseLoop:
    if getattr(loop, 'fp16', False):  # bfloat16, on a processor
        require_bfloat16(setting, get_device())
    return loop
