_base_ = ['../_base_/models/fvit_eva-b16.py']
