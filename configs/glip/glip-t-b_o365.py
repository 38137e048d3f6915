"""GLIP-T (B): deep fusion, Objects365 alone (paper table 1).

Command:
    torchrun --nnodes=4 --nproc_per_node=8 tools/train.py \\
        configs/glip/glip-t-b_o365.py --launcher pytorch --amp
Hardware: 32 V100, global batch 64 (paper); not trained here
Time: 8.4 s for a step of two 512 x 640 images on two cores of a Xeon, float32
    (docs/benchmarks.md, measured with variant C); a whole training was not measured
Memory: 16.0 GB a V100 with 2 images (paper table 7); 6.3 GiB for the step above
Result: COCO 44.9 AP zero-shot (published); not measured here
"""
_base_ = [
    '../_base_/models/glip_swin-t.py', '../_base_/datasets/objects365.py',
    '../_base_/schedules/glip_pretrain.py', '../_base_/runtime/averaged.py'
]
