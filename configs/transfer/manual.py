"""Hand-written prompts, nothing trains."""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='manual')
