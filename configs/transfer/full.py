"""All but the stem and the first stage of the backbone; the text encoder at a tenth of the rate."""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='full', lr=1e-4, text_lr=1e-5, weight_decay=0.05, frozen_stages=2)
