"""RegionCLIP's pre-training of RN50 on CC3M, with a frozen RN50 as teacher.

Command:
    glipkit concepts captions_train2017.json --min-count 100 --model regionclip-rn50 \\
        --checkpoint RN50.pt --out coco_nouns_4764_rn50.safetensors
    torchrun --nnodes=4 --nproc_per_node=8 tools/train.py \\
        configs/region_clip/regionclip-rn50_pretrain_cc3m.py --launcher pytorch
Hardware: 32 V100, global batch 96 (authors); not trained here
Time: about 6 days (an author, issue 50 of the official repository); here a step with one image of
    800 x 1066 and 100 boxes takes 11 s of one core of an AMD EPYC, without the proposal network
Memory: 3.4 GiB at the peak of that process; GPUs not measured
Result: OV-COCO 31.4 AP50 novel, 50.4 all, after transfer (published); not measured here

Begins with OpenAI's RN50.pt in all three towers. The boxes are those of rpn_lvis_866.pth, from the
folder that github.com/microsoft/RegionCLIP links, which also has the authors' own pool,
coco_nouns_4764_emb.pth. Every gradient is clipped by itself, as in the official code.
"""
_base_ = [
    '../_base_/models/region_pretrain_rn50.py', '../_base_/datasets/cc3m_captions.py',
    '../_base_/schedules/region_pretrain.py', '../_base_/runtime/default.py'
]

load_from = 'RN50.pt'
