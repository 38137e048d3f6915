"""Class lists of the open-vocabulary benchmarks, as tables."""
