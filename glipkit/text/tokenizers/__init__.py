"""Tokenizers, one file each; the text encoder that reads their tokens brings its own."""
from glipkit.text.tokenizers.clip_bpe import CLIP_VOCABULARY, ClipBpeTokenizer
from glipkit.text.tokenizers.contract import Tokenizer, build_tokenizer, register_tokenizer
from glipkit.text.tokenizers.wordpiece import UNCASED_VOCABULARY, BertTokenizer

__all__ = [
    'CLIP_VOCABULARY', 'UNCASED_VOCABULARY', 'BertTokenizer', 'ClipBpeTokenizer', 'Tokenizer',
    'build_tokenizer', 'register_tokenizer'
]
