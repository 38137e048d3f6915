"""Numbers that things keep from frame to frame: ByteTrack, of the package trackers."""
from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from glipkit.apis.detections import Detections
from glipkit.errors import UserError

#: Seconds for which a thing that is not found keeps its number.
KEPT = 1.
#: Least overlap of a box with where its thing is expected.
OVERLAP = .1


class Tracker:
    """Numbers for the detections of one video, in the order of its frames.

    A thing has its number from the second frame in which it is found: what is found once is often
    nothing. Boxes are joined by their places alone, whatever their names: a name that changes
    between two frames does not end a track.

    Args:
        fps: Frames per second that are asked.

    Raises:
        UserError: Without the package trackers.
    """

    def __init__(self, fps: float) -> None:
        check_tracker()
        from trackers import ByteTrackTracker
        # Whoever calls has chosen a threshold: what is above may begin a track.
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(30 * KEPT), frame_rate=fps, track_activation_threshold=0.,
            high_conf_det_threshold=0., minimum_iou_threshold=OVERLAP,
            minimum_consecutive_frames=2)
        self._names: dict[int, str] = {}

    def __call__(self, found: Detections, time: float) -> Detections:
        """The detections of the next frame, with ``tracks``.

        Args:
            found: Detections of a frame.
            time: Its seconds in the video.
        """
        boxes = found.to_supervision()
        boxes.data = {'place': np.arange(len(found))}  # they come back in another order
        tracked = self._tracker.update(boxes, timestamp=time)
        tracks = np.full(len(found), -1, np.int64)
        if len(tracked):
            ids = np.asarray(tracked.tracker_id, np.int64)
            tracks[tracked.data['place']] = np.where(ids >= 0, ids + 1, -1)
        for track, name in zip(tracks[tracks > 0].tolist(), found[tracks > 0].names):
            self._names.setdefault(track, name)
        return replace(found, tracks=tracks)

    def counts(self) -> Counter[str]:
        """Name -> things that have had a number; of one with several names the first counts."""
        return Counter(self._names.values())


def check_tracker() -> None:
    """Refuses tracks where there is no tracker, before anything is read.

    Raises:
        UserError: Without the package trackers.
    """
    if find_spec('trackers') is None:
        raise UserError('the package trackers for tracks', 'none installed',
                        "pip install 'trackers>=2.6'")
