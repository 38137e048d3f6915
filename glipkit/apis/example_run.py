"""From example files to a task file, on a model that is loaded for it."""
from __future__ import annotations

from pathlib import Path

from glipkit.apis.batches import build_pipelines
from glipkit.apis.build import check_device, checkpoint_for, find_config, load, read_config
from glipkit.apis.example_files import ExampleFiles, read_example_files
from glipkit.apis.example_learning import LearnSettings, learn
from glipkit.apis.index import model_name
from glipkit.apis.tasks import Task, check_task_place, fingerprint, save_task
from glipkit.runs.locks import locked
from glipkit.text.query import Query

#: What follows the name of a task file in that of the record of its learning.
PROGRESS = '.progress'


def learn_files(files: ExampleFiles, settings: LearnSettings, out: Path, model: str,
                checkpoint: str | None = None, device: str = 'cpu',
                words: Query | None = None) -> Task:
    """Learns names from files; the same call goes on after a kill.

    Args:
        files: The examples.
        settings: How long.
        out: Task file to write.
        model: Model name or config.
        checkpoint: Its weights; None for those of its name.
        device: Where to learn.
        words: What the task asks for too.

    Raises:
        UserError: Files that cannot be used, no weights, a model that cannot learn names, or a
            place where nothing can be written.
    """
    check_task_place(out)
    where = check_device(device)
    pipelines = build_pipelines(read_config(find_config(model)))
    examples, ids = read_example_files(files, pipelines)
    detector = load(model, checkpoint_for(model, checkpoint), where)
    progress = out.with_name(out.name + PROGRESS)
    with locked(out.with_name(out.name + '.lock')):
        task = learn(detector, pipelines, examples, settings, fingerprint(detector),
                     model_name(model), words, ids, progress)
        save_task(task, out)
        progress.unlink(missing_ok=True)
    return task
