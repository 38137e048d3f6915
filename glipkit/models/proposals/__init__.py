"""Where the boxes of a two-stage detector come from."""
