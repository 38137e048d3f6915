_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/default.py'
]

custom_hooks = [dict(type='IterSeedHook'), dict(type='EMAHook', momentum=0.01)]
default_hooks = dict(checkpoint=dict(interval=300))
