"""Objectives of pre-training: a student, what teaches it, and their losses."""
