"""Averaged weights, as in the official code; its authors publish weights without averaging."""
_base_ = './default.py'

custom_hooks = [dict(type='glipkit.IterSeedHook'), dict(type='EMAHook', momentum=0.001)]
