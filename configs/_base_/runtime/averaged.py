"""Averaged weights, as the official code; its authors publish those that are not averaged."""
_base_ = './default.py'

custom_hooks = [dict(type='glipkit.IterSeedHook'), dict(type='EMAHook', momentum=0.001)]
