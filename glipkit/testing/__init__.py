"""Tiny models and toy data for tests; nothing else imports it."""
