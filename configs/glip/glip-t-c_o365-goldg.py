"""GLIP-T (C): deep fusion, Objects365 and GoldG (paper table 1).

Command:
    glipkit prepare objects365 --train zhiyuan_objv2_train.json --out data/objects365
    glipkit prepare mixed-grounding --ready final_mixed_train_no_coco.json \\
        --no-coco --out data/mdetr_annotations
    glipkit prepare flickr30k flickr30k_entities --out data/mdetr_annotations
    torchrun --nnodes=4 --nproc_per_node=8 tools/train.py \\
        configs/glip/glip-t-c_o365-goldg.py --launcher pytorch --amp
Hardware: 32 V100, global batch 64, 30 passes (paper); not trained here
Time: 8.4 s for a step of two 512 x 640 images on two cores of a Xeon, float32
    (docs/benchmarks.md); a whole training was not measured
Memory: 16.0 GB a V100 with 2 images (paper table 7); 6.3 GiB for the step above
Result: COCO 46.7 AP zero-shot (published); not measured here
"""
_base_ = [
    '../_base_/models/glip_swin-t.py', '../_base_/datasets/objects365_goldg.py',
    '../_base_/schedules/glip_pretrain.py', '../_base_/runtime/averaged.py'
]
