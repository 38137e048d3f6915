"""The three layouts of a GLIP checkpoint."""
