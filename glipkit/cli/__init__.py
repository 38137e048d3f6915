"""The command line: ``glipkit COMMAND``."""
