"""Runs that a kill does not lose: folders, units of work, locks, complete results.

* :mod:`glipkit.runs.folder`: a folder belongs to one run, and says which.
* :mod:`glipkit.runs.locks`: one process at a time.
* :mod:`glipkit.runs.units`: work in pieces, each done once.
* :mod:`glipkit.runs.results`: values and files that are remembered, with what marks them as done.

Files and folders that appear complete or not at all: :mod:`glipkit.files`.
"""
