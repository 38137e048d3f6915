"""mmengine's runner with the differences that glipkit needs."""
from __future__ import annotations

import logging
import os
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

from glipkit.checkpoints.loading import read_training_checkpoint
from glipkit.common.precision import require_bfloat16
from glipkit.engine.optim.autocast import AutocastOptimWrapper
from glipkit.engine.token_budgets import share_tokenizer
from glipkit.files import atomic, remove_unfinished
from glipkit.models.contract import GroundingDetector
from glipkit.registry import RUNNERS


@RUNNERS.register_module()
class GroundingRunner(Runner):
    """Runner that also distributes over CPU processes and never executes a pickle.

    * Without a GPU processes communicate through gloo and the model is wrapped without device ids.
    * ``resume`` and ``load_from`` read weights only; a file that would have to execute code to be
      read is refused.
    * A checkpoint on a local disk appears complete or not at all.
    * bfloat16 is refused on a processor that is slower at it than at float32, before it starts.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """Open the process group; gloo where there is no GPU."""
        if self.distributed and not torch.cuda.is_available() \
                and not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
        super().setup_env(env_cfg)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; the list of all hooks goes to the log file alone."""
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

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimiser with its precision."""
        built: OptimWrapper = super().build_optim_wrapper(optim_wrapper)
        if isinstance(built, AutocastOptimWrapper):
            require_bfloat16('AutocastOptimWrapper', get_device())
        return built

    def build_val_loop(self, loop: Any) -> BaseLoop:
        """Build the loop of evaluations during training."""
        return _checked(super().build_val_loop(loop), 'val_cfg.fp16')

    def build_test_loop(self, loop: Any) -> BaseLoop:
        """Build the loop of a test."""
        return _checked(super().build_test_loop(loop), 'test_cfg.fp16')

    def load_checkpoint(self,
                        filename: str | os.PathLike,
                        map_location: Any = 'cpu',
                        strict: bool = True,
                        revise_keys: list | None = None) -> dict:
        """Load a training checkpoint into the model; missing or unexpected keys are refused."""
        checkpoint = read_training_checkpoint(Path(filename), map_location)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = getattr(self.model, 'module', self.model)
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
    return not record.getMessage().startswith('Hooks will be executed in the following order')


def _checked(loop: BaseLoop, setting: str) -> BaseLoop:
    if getattr(loop, 'fp16', False):  # bfloat16, on a processor
        require_bfloat16(setting, get_device())
    return loop
