"""From public annotation files to what the formats read: steps, streaming, one file per source.

`steps` serves every file of `sources`, `detection` those that have boxes of named classes.
Images are never copied: prepared files name them relative to the folder they are in.
"""
from glipkit.data.preparation.json_stream import stream_json, stream_lines
from glipkit.data.preparation.steps import Preparation, Step

__all__ = ['Preparation', 'Step', 'stream_json', 'stream_lines']
