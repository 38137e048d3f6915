"""RegionCLIP's proposal network for LVIS: R50-FPN with norms in the pyramid and two convolutions in
the head, taught on 866 LVIS classes with large-scale jitter.

An mmdet model for `glipkit.FrozenRPN`; its weights are rpn_lvis_866_lsj.pth of RegionCLIP.
"""
_base_ = 'rpn-r50-fpn_lvis-866.py'

model = dict(
    neck=dict(norm_cfg=dict(type='BN', requires_grad=False)),
    rpn_head=dict(num_convs=2))
