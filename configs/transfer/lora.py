"""Low-rank adapters on attention and projections; not part of the paper."""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='lora', rank=8, alpha=16., lr=1e-3, weight_decay=0.)
