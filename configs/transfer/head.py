"""The linear probe: alignment, box and centerness layers."""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='head', lr=1e-4, weight_decay=0.05)
