"""Checks of training data, before a training is wasted on it."""
from glipkit.data.checking.check import SCANS, CheckSettings, Report, check, clean
from glipkit.data.checking.findings import KINDS, Finding, Findings
from glipkit.data.checking.names import PromptSettings
from glipkit.data.checking.scan import DataFile
from glipkit.moved import renamed

__all__ = ['KINDS', 'SCANS', 'CheckSettings', 'DataFile', 'Finding', 'Findings', 'PromptSettings',
           'Report', 'check', 'clean']

__getattr__ = renamed(__name__, {'Looks': 'CheckSettings', 'Source': 'DataFile'})
