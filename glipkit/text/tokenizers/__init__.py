"""Tokenizers, one file each; the text encoder that reads their tokens brings its own."""
from glipkit.text.tokenizers.contract import Tokenizer, build_tokenizer, register_tokenizer
from glipkit.text.tokenizers.wordpiece import UNCASED_VOCABULARY, BertTokenizer

__all__ = [
    'UNCASED_VOCABULARY', 'BertTokenizer', 'Tokenizer', 'build_tokenizer', 'register_tokenizer'
]
