"""Noun phrases of captions: rules of our own, or the pipelines of kept libraries."""
from glipkit.text.phrases.extract import clean_spans, extract_phrases

__all__ = ['clean_spans', 'extract_phrases']
