"""Class lists and splits of public data sets, as tables."""
