"""One call from images and words to boxes."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glipkit.apis.arguments import (
    Shown,
    check_batch_size,
    check_channel_order,
    check_per_object,
    check_threshold,
    default_threshold,
)
from glipkit.apis.asking import Classes, Phrases, Question, make_query
from glipkit.apis.batches import Prepared, build_pipelines, collect, prepare_image, run_by_size
from glipkit.apis.build import as_detector, check_device
from glipkit.apis.calibration import Calibration
from glipkit.apis.detections import Detections
from glipkit.apis.images import Images, ImageSource, list_images
from glipkit.apis.learner import NameLearner
from glipkit.apis.regions import RegionScorer
from glipkit.apis.segmentation import Segmenter
from glipkit.apis.side_by_side import answer_batches, batches_of, workers_for
from glipkit.apis.tasks import TaskViews
from glipkit.apis.tile_windows import OVERLAP, Tiles
from glipkit.apis.tiles import answer_in_tiles
from glipkit.apis.video.watching import VideoWatcher
from glipkit.common import reporter
from glipkit.common.precision import check_dtype, computing_in, slow_bfloat16_note
from glipkit.common.reporter import Bar
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query
from glipkit.text.structures import CaptionPrompt


class Predictor(Segmenter, RegionScorer, VideoWatcher, NameLearner):
    """Finds things in images by their names; arrays are BGR unless ``channel_order`` is 'rgb'.

    Runs the model's own test pipeline and ``predict``, as evaluation does. The text of a class
    list is split, tokenised and encoded once for all images. Several threads may share one
    predictor, with different tasks and class lists at once; no call changes the result of another.

    Args:
        model: A model name, the path of a config, or a detector that :func:`glipkit.load` made.
        checkpoint: Weights, see :func:`glipkit.load`; not with a detector. Only ``'random'`` makes
            random ones.
        device: Device to run on: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'mps'``, or ``'auto'`` for
            the fastest of this machine.
        batch_size: Number of images that go through the model together. Only images of one size
            do, so results do not depend on it.
        score_threshold: Lowest score of the detections that are returned; None takes the model's
            own, ``shown_above`` of its config, or else 0.3. The model itself discards scores below
            the ``score_threshold`` of its config's ``test_cfg``; a lower number here does not bring
            them back. A task that ``glipkit calibrate`` has measured brings a threshold for each of
            its classes; a number that is passed counts instead, and means a probability.
        task: File that ``glipkit tune`` wrote, for all calls that name no other task; calls without
            classes look for its classes.
        channel_order: Order of the channels of numpy arrays: ``'bgr'``, as in mmdet and OpenCV, or
            ``'rgb'``. It has no effect on files and PIL images.
        per_object: ``'one'`` returns one label per object, the best of all classes, see
            :meth:`.Detections.one_per_object`: of two things whose boxes overlap by more than half,
            one is lost. ``'all'`` returns whatever the model says, as evaluation does.
        dtype: What the model computes in, by autocast; its weights stay float32. ``'float32'``,
            ``'bf16'``, or on a GPU ``'half'`` or ``'tf32'``. A warning says where bf16 is slow.
        graphs: Whether a GPU replays what it has recorded, for images and words of the same sizes:
            less work for the host, a second and some memory for every new size.

    Raises:
        UserError: For numbers outside their range, no weights, or an error of `glipkit.load`.

    Example:
        >>> predict = Predictor('glip-mini')
        >>> found = predict('photos/', classes=['red circle', 'blue star'])
        >>> found[0].boxes, found[0].names
    """

    def __init__(self,
                 model: str | Path | nn.Module,
                 checkpoint: str | Path | None = None,
                 device: str | torch.device = 'cpu',
                 batch_size: int = 1,
                 score_threshold: float | None = None,
                 task: str | Path | None = None,
                 channel_order: str = 'bgr',
                 per_object: str = 'one',
                 dtype: str = 'float32',
                 graphs: bool = False) -> None:
        self.channel_order = check_channel_order(channel_order)
        self.batch_size = check_batch_size(batch_size)
        self.per_object = check_per_object(per_object)
        if score_threshold is not None:
            score_threshold = check_threshold(score_threshold)
        where = check_device(device)
        self.dtype = check_dtype(dtype, where)
        self.model = as_detector(model, checkpoint, where)
        if dtype == 'bf16' and (slow := slow_bfloat16_note('dtype bf16', where)):
            warnings.warn(slow, stacklevel=2)
        self.score_threshold = default_threshold(self.model.cfg) if score_threshold is None \
            else score_threshold
        self._own_threshold = score_threshold is not None
        self._pipelines = build_pipelines(self.model.cfg)
        if graphs:
            self.model.use_graphs()
        self._tasks = TaskViews(self.model)
        self._begin_learning(model)
        self._query: Query | None = None
        self._task = None if task is None else self.load_task(task)
        self.model.warm_up()

    def load_task(self, path: str | Path, name: str | None = None) -> str:
        """Loads one more task; any number of tasks share the model.

        Args:
            path: File that ``glipkit tune`` wrote.
            name: Name of the task in calls; default the path.

        Returns:
            The name.

        Raises:
            UserError: Not a task file, or one that belongs to another model.
        """
        return self._tasks.load(path, name)

    def forget_task(self, name: str) -> None:
        """Removes a task of `load_task` or `learn`; a call that runs with it is not disturbed."""
        self._tasks.forget(name)
        self._learned.pop(name, None)

    def set_classes(self, classes: Classes | None, caption_prompt: CaptionPrompt | None = None, *,
                    negative_classes: Iterable[str] = (),
                    exclusive: Iterable[Iterable[str]] = ()) -> None:
        """Sets the classes for calls without classes, caption and task.

        The prompts are built here, once.

        Args:
            classes: Names, any number; None removes the setting. This and the others as in a call.
            caption_prompt: Hand-written prompts.
            negative_classes: What must not be found.
            exclusive: Groups of classes of which one object has one.

        Raises:
            UserError: For a class name that cannot be asked for.
        """
        query = None
        if classes is not None:
            query = make_query(classes, None, None, caption_prompt, negative_classes, exclusive)
            self.model.prompts(query)
        self._query = query

    def __call__(self,
                 images: Images,
                 classes: Classes | None = None,
                 caption: str | None = None,
                 phrases: Phrases | str | None = None,
                 *,
                 caption_prompt: CaptionPrompt | None = None,
                 negative_classes: Iterable[str] = (),
                 exclusive: Iterable[Iterable[str]] = (),
                 task: str | Path | None = None,
                 score_threshold: float | None = None,
                 channel_order: str | None = None,
                 per_object: str | None = None,
                 tile: int | None = None,
                 overlap: float = OVERLAP) -> list[Detections]:
        """Detections of every image.

        Shows through the current reporter how many images are done.

        Args:
            images: A path, a folder, a PIL image, a numpy array, or a list of any of these.
            classes: Names to look for, any number, in an order, which labels index; a mapping of
                names to other names of the same; or a whole `glipkit.Query`. A list may hold
                `glipkit.Example` too, see `learn`. Or else:
            caption: A sentence whose phrases are looked for. Labels index ``phrases``.
            phrases: Character spans ``(start, end)`` in the caption, end exclusive, one per thing
                (or a list of spans where a thing is named in several places); ``'auto'`` or None
                takes the caption's noun phrases.
            caption_prompt: Hand-written prompts for some classes, name -> dict(prefix=, name=,
                suffix=); a class is scored on its ``name`` only.
            negative_classes: What looks like one of the classes and must not be found.
            exclusive: Groups of classes of which one object has one.
            task: Name or file of a task, for this call; None takes the predictor's own, ``''``
                the base model. Without classes the task's are looked for.
            score_threshold: For this call, instead of the predictor's and the task's.
            channel_order: For this call, instead of the predictor's.
            per_object: For this call, instead of the predictor's.
            tile: Side in pixels of square tiles in which an image is seen too, besides the whole;
                for small things in large images, see :mod:`.tiles`. None sees the whole alone.
            overlap: Share of a tile that the next one sees too.

        Returns:
            Detections of each image, in the order of the images; best first.

        Raises:
            UserError: For an image, class name, span or argument that cannot be used.
        """
        return list(self.stream(images, classes, caption, phrases, caption_prompt=caption_prompt,
                                negative_classes=negative_classes, exclusive=exclusive, task=task,
                                score_threshold=score_threshold, channel_order=channel_order,
                                per_object=per_object, tile=tile, overlap=overlap))

    predict = __call__

    def stream(self,
               images: Images,
               classes: Classes | None = None,
               caption: str | None = None,
               phrases: Phrases | str | None = None,
               *,
               skip: Callable[[ImageSource, UserError], None] | None = None,
               **asked: Any) -> Iterator[Detections]:
        """As a call, but each image's detections as soon as they are there, and none kept.

        Args:
            images: As in a call.
            classes: As in a call.
            caption: As in a call.
            phrases: As in a call.
            skip: Called with each image that cannot be read, and why; it is left out then. None
                raises instead.
            **asked: All further arguments of a call.

        Raises:
            UserError: As in a call.
        """
        question = self.question(classes, caption, phrases, **asked)
        return self._stream(list_images(images), question, skip)

    def question(self, classes: Classes | None = None, caption: str | None = None,
                 phrases: Phrases | str | None = None, *,
                 caption_prompt: CaptionPrompt | None = None, negative_classes: Iterable[str] = (),
                 exclusive: Iterable[Iterable[str]] = (), task: str | Path | None = None,
                 score_threshold: float | None = None, channel_order: str | None = None,
                 per_object: str | None = None, tile: int | None = None,
                 overlap: float = OVERLAP) -> Question:
        """What a call with these arguments asks, for `prepare` and `detect`; see a call for them.

        Raises:
            UserError: As in a call.
        """
        classes, task = self._with_examples(classes, task, channel_order)
        query, task, model = self._asked(classes, caption, phrases, caption_prompt, task,
                                         negative_classes, exclusive)
        names = model.label_names(query)
        order = check_channel_order(channel_order or self.channel_order)
        shown = self._shown(score_threshold, per_object, self._tasks.calibration(task))
        return Question(query, names, order, shown, model,
                        self._tasks.category_ids(task, names),
                        None if tile is None else Tiles(tile, overlap))

    def _stream(self, sources: Sequence[ImageSource], question: Question,
                skip: Callable[[ImageSource, UserError], None] | None) -> Iterator[Detections]:
        several = len(sources) > 1
        with reporter.bar('predicting', len(sources), 'image') if several else Bar() as bar:
            batches = batches_of(sources, self.batch_size)
            for found, lost in answer_batches(self, batches, question, skip is not None,
                                              workers_for(len(batches))):
                for source, error in lost:
                    skip(source, error)
                yield from found
                bar.update(len(found) + len(lost))

    def answer(self, sources: Sequence[ImageSource], question: Question,
               skip: Callable[[ImageSource, UserError], None] | None = None,
               detect: Callable[..., list[Detections]] | None = None) -> list[Detections]:
        """Detections of some images that go through the model together.

        Args:
            sources: Images, from `list_images`.
            question: What they are asked, from `question`.
            skip: As in `stream`.
            detect: What runs the model instead of the method of this name.

        Raises:
            UserError: An image cannot be read, and there is no ``skip``.
        """
        found, prepared, detect = [], [], detect or self.detect
        for source in sources:
            try:
                if question.tiles is not None:
                    found.append(answer_in_tiles(self._pipelines, source, question, self.batch_size,
                                                 detect))
                else:
                    prepared.append(self.prepare(source, question.query, question.names,
                                                 question.channel_order, question.category_ids))
            except UserError as error:
                if skip is None:
                    raise
                skip(source, error)
        return found or detect(prepared, model=question.model, shown=question.shown)

    def prepare(self, source: ImageSource, query: Query, names: tuple[str, ...],
                channel_order: str | None = None,
                category_ids: tuple[int, ...] | None = None) -> Prepared:
        """Decodes and resizes one image; safe to call in a thread beside :meth:`detect`.

        Args:
            source: Image, from `list_images`.
            query: Query for the image.
            names: Strings that labels stand for.
            channel_order: Order of the channels of arrays; None takes the predictor's.
            category_ids: Category id of each of the names, where there are any.

        Raises:
            UserError: The image cannot be read.
        """
        return prepare_image(self._pipelines, source, query, names,
                             channel_order or self.channel_order, category_ids)

    def detect(self, prepared: Sequence[Prepared], score_threshold: float | None = None,
               model: GroundingDetector | None = None, per_object: str | None = None,
               shown: Shown | None = None) -> list[Detections]:
        """Detections of prepared images, each with a query of its own; one per image.

        Args:
            prepared: Images, from `prepare`.
            score_threshold: Threshold of this call; None takes the predictor's.
            model: Detector to run; None takes the base model.
            per_object: Rule of this call; None takes the predictor's.
            shown: All that is said of what is returned, from a question, instead of both.
        """
        shown = shown or self._shown(score_threshold, per_object)
        with self.computing():
            samples = run_by_size(model or self.model, [item.packed for item in prepared])
        return [collect(sample, item, shown) for item, sample in zip(prepared, samples)]

    def computing(self) -> AbstractContextManager:
        """Inside the block, and for this thread, the model computes in the predictor's dtype."""
        return computing_in(self.dtype, self.device)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def _shown(self, score_threshold: float | None, per_object: str | None,
               calibration: Calibration | None = None) -> Shown:
        by_class = calibration is not None and score_threshold is None and not self._own_threshold
        return Shown(self.score_threshold if score_threshold is None else score_threshold,
                     self.per_object if per_object is None else per_object, calibration, by_class)
