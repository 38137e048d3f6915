"""ODinW, "object detection in the wild": the benchmark over its data sets and its scoreboard."""
