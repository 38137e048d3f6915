"""Losses of grounding detection."""
