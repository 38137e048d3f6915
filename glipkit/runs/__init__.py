"""Runs that a kill does not lose: folders, units of work, locks, results that are whole."""
