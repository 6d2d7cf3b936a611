"""Admission protocols, one file each: a body becomes a question, a ruling becomes a body."""
