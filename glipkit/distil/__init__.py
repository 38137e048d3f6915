"""Photographs without labels become a small detector: labelled by a teacher, learnt by a student.

A detector of any words is large, and asks its words again with every image. Where the words are
always the same, one of mmdet's detectors learns them from the teacher's own labels, and answers
many times as fast.
"""
from glipkit.distil.run import distil
from glipkit.distil.settings import Asked, LabelPlan, StudentPlan
from glipkit.distil.structures import Distilled, DistilRun
from glipkit.distil.student import Student

__all__ = ['Asked', 'DistilRun', 'Distilled', 'LabelPlan', 'Student', 'StudentPlan', 'distil']
