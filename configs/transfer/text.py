"""The text encoder (official language_prompt_v1)."""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='text', lr=1e-5, weight_decay=0.05)
