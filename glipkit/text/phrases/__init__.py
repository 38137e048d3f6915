"""Noun phrases of captions: our own rules, or the pipelines of maintained libraries."""
from glipkit.text.phrases.extract import clean_spans, extract_phrases

__all__ = ['clean_spans', 'extract_phrases']
