"""Findings and a policy in, a verdict out. Pure: no I/O and no clock."""
