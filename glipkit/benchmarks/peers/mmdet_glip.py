"""mmdet's own GLIP (``mmdet.models.GLIP``) with our random weights.

Runs in an environment with an older transformers; see :mod:`glipkit.benchmarks.peers.environment`.
"""
from __future__ import annotations

import json
import shutil
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mmdet
import mmdet.models.dense_heads.atss_vlfusion_head as port_head
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from safetensors.torch import save_file
from torch import Tensor, nn

from glipkit.apis.build import find_config, model_name
from glipkit.benchmarks.peers import PEERS, own
from glipkit.benchmarks.workload import THREE, GroundedText, Workload, count_tokens
from glipkit.checkpoints import Checkpoint, to_layout
from glipkit.compat import operator_source
from glipkit.text.tokenizers import UNCASED_VOCABULARY

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs' / 'glip'
# Classes in one prompt where one prompt cannot hold all, as in mmdet's configs for LVIS.
CHUNK = 40
MAX_TOKENS = 256
AGREEMENT_IMAGE = (256, 320)


class Model:
    """A candidate; see :class:`glipkit.benchmarks.tasks.Candidate`."""

    def __init__(self, work: Workload) -> None:
        self._work, self._images = work, work.images()
        reference = own.Model(work).model
        self.model = build(work)
        state = to_layout(Checkpoint(reference.state_dict()), 'mmdet').state
        self.model.load_state_dict(state)
        self.model.to(work.device)
        self.compilable = [self.model.backbone, self.model.neck, self.model.bbox_head.head]
        self.details: dict[str, Any] = {
            'operators': operator_source(),
            'agreement': agreement(reference, self.model, work.device),
            'text': 'encoded in every call',
            'checkpointing': any(getattr(m, 'use_checkpoint', False) for m in self.model.modules()),
        }
        if work.classes and count_tokens(work.classes) > MAX_TOKENS:
            self.model.test_cfg.chunked_size = CHUNK
            self.details['classes in one prompt'] = CHUNK

    def predict(self) -> list[DetDataSample]:
        """Detections, post-processing included."""
        size = self._work.image
        samples = [_class_sample(self._work.classes, size) for _ in range(self._work.batch)]
        return self.model.predict(self._images, samples)

    def loss(self) -> Tensor:
        """Sum of the three losses."""
        samples = [_caption_sample(text, self._work) for text in self._work.captions()]
        losses = self.model.loss(self._images, samples).values()
        # Per loss a tensor, or a list with one of each level.
        return sum(sum(loss) if isinstance(loss, list) else loss for loss in losses)


def build(work: Workload) -> nn.Module:
    """The model of mmdet's own config for tuning (those for pre-training lack the losses)."""
    name = PEERS['mmdet'].configs[model_name(find_config(work.config))]
    cfg = Config.fromfile(CONFIGS / name).model
    with tempfile.TemporaryDirectory() as folder:
        write_bert(Path(folder))
        cfg.language_model.name = cfg.bbox_head.lang_model_name = folder
        with DefaultScope.overwrite_default_scope('mmdet'):
            return MODELS.build(cfg).eval()


def write_bert(folder: Path) -> None:
    """A BERT-base for transformers with our vocabulary and without any weights.

    What a weight file lacks is initialised at random, so that an empty one saves 440 MB.
    """
    from transformers import BertConfig
    BertConfig().save_pretrained(folder)
    shutil.copy(UNCASED_VOCABULARY, folder / 'vocab.txt')
    settings = {'tokenizer_class': 'BertTokenizer', 'do_lower_case': True}
    (folder / 'tokenizer_config.json').write_text(json.dumps(settings))
    save_file({}, folder / 'model.safetensors', metadata={'format': 'pt'})


def agreement(reference: nn.Module, port: nn.Module, device: str) -> dict[str, float]:
    """Greatest differences of the two models' outputs on a small image, equal weights.

    mmdet's port enlarges the coarser maps by nearest neighbour where the official code interpolates
    bilinearly; with that put right in the port, the rest of the difference is rounding.
    """
    images = Workload('', AGREEMENT_IMAGE, THREE, device=device).images()
    with torch.no_grad():
        expected = reference(images, [_class_sample(THREE, AGREEMENT_IMAGE)], mode='tensor')
    caught: list[tuple[list[Tensor], ...]] = []
    hook = port.bbox_head.head.register_forward_hook(lambda m, i, outputs: caught.append(outputs))
    with torch.no_grad():
        port.predict(images, [_class_sample(THREE, AGREEMENT_IMAGE)])
        with bilinear_upsampling():
            port.predict(images, [_class_sample(THREE, AGREEMENT_IMAGE)])
    hook.remove()
    tokens = expected['token_mask'].size(1)  # the port pads to 256
    (*_, as_is), (boxes, centers, mended) = caught
    return {
        'logits': _difference(expected['token_logits'], [x[..., :tokens] for x in as_is]),
        'logits, upsampling put right':
            _difference(expected['token_logits'], [x[..., :tokens] for x in mended]),
        'boxes, upsampling put right': _difference(expected['bbox_preds'], boxes),
        'centerness, upsampling put right': _difference(expected['centernesses'], centers),
    }


def _difference(first: list[Tensor], second: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


@contextmanager
def bilinear_upsampling() -> Iterator[None]:
    """Lets the port's tower enlarge maps as the official code does, within the block."""

    def interpolate(x: Tensor, size: list[int]) -> Tensor:
        return F.interpolate(x, size=size, mode='bilinear', align_corners=True)

    port_head.F = types.SimpleNamespace(**{**vars(F), 'interpolate': interpolate})
    try:
        yield
    finally:
        port_head.F = F


def _class_sample(names: tuple[str, ...], size: tuple[int, int]) -> DetDataSample:
    return DetDataSample(metainfo=dict(text=names, custom_entities=True, img_shape=size,
                                       ori_shape=size, scale_factor=(1., 1.)))


def _caption_sample(text: GroundedText, work: Workload) -> DetDataSample:
    sample = DetDataSample(metainfo=dict(text=text.caption, img_shape=work.image,
                                         ori_shape=work.image, pad_shape=work.image))
    sample.gt_instances = InstanceData(bboxes=text.boxes.to(work.device),
                                       labels=torch.tensor(text.labels, device=work.device))
    return sample
