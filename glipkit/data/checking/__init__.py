"""Checks of training data, before a training is wasted on it."""
from glipkit.data.checking.check import SCANS, Looks, Report, check, clean
from glipkit.data.checking.findings import KINDS, Finding, Findings
from glipkit.data.checking.names import PromptSettings
from glipkit.data.checking.scan import Source

__all__ = ['KINDS', 'SCANS', 'Finding', 'Findings', 'Looks', 'PromptSettings', 'Report', 'Source',
           'check', 'clean']
