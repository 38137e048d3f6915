"""Image backbones beside those of mmdet."""
