"""Scan one image: resolve, extract, merge, report. One step per file."""
