"""Boxes of named classes in the layouts of other programs, read into the content of a COCO json.

One reader a file; `find.find_data_set` tells from a folder's own look which one it takes.
"""
