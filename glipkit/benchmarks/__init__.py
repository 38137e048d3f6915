"""Paired timings of glipkit's parts against named peers, each with what it takes to repeat them.

Every benchmark is a module here with ``add_arguments(parser)`` and ``run(args) -> dict``. What
``run`` returns is written as JSON and drawn as a table by :mod:`glipkit.benchmarks.results`; it
holds what JSON can hold, and of the keys there only ``rows`` is needed::

    {'setting': {'what was run': 'with what'},
     'rows': [{'candidate': 'glipkit', 'seconds': 1.23, ...}, ...],    # one dict per table row
     'notes': ['A sentence that a reader of the table needs.'],
     ...}                                                              # kept in the JSON

The machine, the versions and the command line are added there.
"""
