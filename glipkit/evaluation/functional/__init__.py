"""Pure arithmetic of evaluation; imports no framework."""
from glipkit.evaluation.functional.coco_ap import CocoAP, coco_ap

__all__ = ['CocoAP', 'coco_ap']
