"""Runtime of the mini models: averaged weights, a checkpoint every few minutes."""
_base_ = './default.py'

custom_hooks = [dict(type='glipkit.IterSeedHook'), dict(type='EMAHook', momentum=0.01)]
default_hooks = dict(checkpoint=dict(interval=300))
