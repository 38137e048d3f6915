"""Scores that mean something: ``glipkit calibrate`` measures a model on annotated images."""
