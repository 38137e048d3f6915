"""Second stages: features, scores and boxes of regions of interest."""
