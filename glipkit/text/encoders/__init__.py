"""Text encoders: ``TextTokens`` in, ``TextFeatures`` out, ``layer_groups()`` for the optimiser."""
from glipkit.text.encoders.bert import BertEncoder, BertLayer
from glipkit.text.encoders.clip_text import ClipTextEncoder

__all__ = ['BertEncoder', 'BertLayer', 'ClipTextEncoder']
