"""Videos, streams and cameras: frames in, boxes with track numbers out.

``reading`` has the frames and ``live`` the newest ones of what does not wait, ``watching`` asks a
predictor, ``tracks`` gives things their numbers; ``rows`` and ``writing`` are the files, and
``recording`` is all of it in one call. Frames go through one at a time: nothing here grows with
the length of a video.
"""
