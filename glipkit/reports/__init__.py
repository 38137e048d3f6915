"""Pictures, curves and pages that people look at."""
