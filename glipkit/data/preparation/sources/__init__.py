"""One file per published data set, each with three names that ``glipkit prepare`` uses:

``EXAMPLES`` (whole command lines), ``add_arguments(parser)`` (the options of this source alone) and
``prepare(options)``, which makes every step and returns the `Preparation`.
"""
