"""A learned prompt (official language_prompt_v2)."""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='prompt', lr=0.05, weight_decay=0.25, rows=1000)
