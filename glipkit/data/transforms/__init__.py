"""Steps of a pipeline that mmdet does not have."""
from glipkit.data.transforms.class_prompt import SampleClassPrompt
from glipkit.data.transforms.packing import PackGrounding
from glipkit.data.transforms.resize import GlipResize
from glipkit.data.transforms.swap_left_right import SwapLeftRight

__all__ = ['GlipResize', 'PackGrounding', 'SampleClassPrompt', 'SwapLeftRight']
