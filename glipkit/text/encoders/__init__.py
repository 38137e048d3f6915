"""Text encoders: ``TextTokens`` in, ``TextFeatures`` out, ``layer_groups()`` for the optimiser."""
from glipkit.text.encoders.bert import BertEncoder, BertLayer

__all__ = ['BertEncoder', 'BertLayer']
