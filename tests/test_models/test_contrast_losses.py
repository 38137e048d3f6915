"""Contrast and distillation of regions, contrast of images and texts."""
from __future__ import annotations

import math

import pytest
import torch
import torch.multiprocessing as multiprocessing

from glipkit.models.losses.image_text import gather_rows, image_text_contrast
from glipkit.models.losses.region_text import region_distillation, region_text_contrast


def test_concepts_of_several_regions_count_as_often():
    """A2 of the fact sheet: three regions, concepts 0, 0, 1, cosines by hand, temperature 1."""
    logits = torch.tensor([[2., 1.], [0., 3.], [1., 2.]])
    e = math.exp
    expected = -(math.log(2 * e(2) / (2 * e(2) + e(1))) + math.log(2 * e(0) / (2 * e(0) + e(3)))
                 + math.log(e(2) / (2 * e(1) + e(2)))) / 3
    found = region_text_contrast(logits, torch.tensor([0, 0, 1]))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_contrast_is_the_formula_of_the_paper():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 20, generator=random, requires_grad=True)
    concepts = torch.randint(6, (9, ), generator=random)
    z = logits[:, concepts]
    same = concepts[:, None] == concepts
    paper = -((z.exp() * same).sum(1) / z.exp().sum(1)).log().mean()
    ours = region_text_contrast(logits, concepts)
    torch.testing.assert_close(ours, paper)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, paper)))


def test_one_concept_for_all_has_no_contrast():
    assert region_text_contrast(torch.randn(4, 3), torch.tensor([2, 2, 2, 2])).abs() < 1e-6


def test_log_space_stays_finite():
    """Where probabilities underflow, the official code gives inf and nan."""
    logits = torch.tensor([[100., -100.], [-100., 100.]], requires_grad=True)
    contrast = region_text_contrast(logits, torch.tensor([1, 0]))
    distill = region_distillation(logits, -logits.detach())
    assert contrast.item() == pytest.approx(200) and distill.item() == pytest.approx(200)
    (contrast + distill).backward()
    assert torch.isfinite(logits.grad).all()


def test_distillation_is_a_mean_over_regions():
    teacher = torch.tensor([[0., 0.], [math.log(3), 0.]])
    student = torch.tensor([[math.log(3), 0.], [math.log(3), 0.]])
    expected = 0.5 * (math.log(0.5 / 0.75) + math.log(0.5 / 0.25)) / 2
    assert region_distillation(student, teacher).item() == pytest.approx(expected)
    assert region_distillation(student, student) == 0


@pytest.mark.parametrize('loss', [region_text_contrast, region_distillation])
def test_no_regions(loss):
    logits = torch.zeros(0, 3, requires_grad=True)
    other = torch.zeros(0, dtype=torch.int64) if loss is region_text_contrast else torch.zeros(0, 3)
    found = loss(logits, other)
    found.backward()
    assert found == 0 and logits.grad.shape == (0, 3)


def test_symmetric_contrast_by_hand():
    images, texts = torch.eye(2) * 3, torch.tensor([[1., 0], [1, 0]])
    e = math.exp(1)
    rows = (math.log(2) + math.log(2)) / 2  # logits (1, 1) and (0, 0)
    columns = (-math.log(e / (e + 1)) - math.log(1 / (e + 1))) / 2
    assert image_text_contrast(images, texts, 1.).item() == pytest.approx((rows + columns) / 2)


def towers():
    torch.manual_seed(0)
    return torch.nn.Linear(6, 5), torch.nn.Linear(4, 5)


def inputs(sizes):
    random = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 6, generator=random), torch.randn(size, 4, generator=random))
            for size in sizes]


def _worker(rank, address, sizes, queue):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', address, rank=rank, world_size=len(sizes))
    image, text = towers()
    a, b = inputs(sizes)[rank]
    loss = image_text_contrast(image(a), text(b), 10.)
    loss.backward()
    for tower in (image, text):
        for parameter in tower.parameters():  # as DistributedDataParallel does
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= len(sizes)
    queue.put((rank, loss.item(), [p.grad.tolist() for t in (image, text) for p in t.parameters()],
               [len(rows) for rows in gather_rows(a)]))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize('sizes', [(3, 3), (4, 2)])
def test_two_processes_have_the_loss_and_gradients_of_the_joined_batch(tmp_path, sizes):
    context = multiprocessing.get_context('spawn')
    queue = context.Queue()
    workers = multiprocessing.start_processes(
        _worker, (f'file://{tmp_path}/meeting', sizes, queue), len(sizes), join=False,
        start_method='spawn')
    answers = [queue.get(timeout=120) for _ in sizes]
    workers.join()
    fewest = min(sizes)
    image, text = towers()
    a, b = (torch.cat([part[i][:fewest] for part in inputs(sizes)]) for i in range(2))
    loss = image_text_contrast(image(a), text(b), 10.)
    loss.backward()
    wanted = [p.grad for tower in (image, text) for p in tower.parameters()]
    for _, value, gradients, counts in answers:
        assert value == pytest.approx(loss.item(), rel=1e-6) and counts == [2 * fewest]
        for found, gradient in zip(gradients, wanted):
            torch.testing.assert_close(torch.tensor(found), gradient, atol=1e-6, rtol=1e-5)
