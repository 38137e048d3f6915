"""Parts of a model that begin with weights of different files."""
from __future__ import annotations

from collections.abc import Mapping

from mmengine.hooks import Hook
from mmengine.runner import Runner

from glipkit.checkpoints.loading import load_backbone, load_text_encoder
from glipkit.errors import UserError
from glipkit.registry import HOOKS


@HOOKS.register_module()
class PartWeightsHook(Hook):
    """Reads a file for each of some parts before a training begins; a resumed one has its own.

    For models whose parts come from different files, such as a student and a teacher of another
    size; one file for the whole model is ``load_from``. Hooks that copy the model, as averaging
    does, see what was read.

    Args:
        files: Name of a part of the model -> file or hub name. The name decides how it is read:
            one that ends in ``text_encoder`` by `load_text_encoder`, others by `load_backbone`.
    """

    priority = 'VERY_HIGH'

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)

    def before_run(self, runner: Runner) -> None:
        """Reads the files.

        Raises:
            UserError: The model has no such part, or a file does not fit it.
        """
        if runner._resume or runner._has_loaded:
            return
        model = getattr(runner.model, 'module', runner.model)
        parts = dict(model.named_children())
        for name, path in self.files.items():
            if name not in parts:
                raise UserError(f'parts of {type(model).__name__} ({", ".join(parts)})',
                                repr(name), 'correct the names in files')
            load = load_text_encoder if name.endswith('text_encoder') else load_backbone
            runner.logger.info(f'{name}: {load(parts[name], path)}')
