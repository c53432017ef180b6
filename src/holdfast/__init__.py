"""Holdfast: a work queue server that never lets go of a job."""

__version__ = "0.1.0"
