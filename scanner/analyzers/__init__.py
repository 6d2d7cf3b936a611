"""Analyzers: pure functions from bytes to packages, findings and kept files. No I/O."""
