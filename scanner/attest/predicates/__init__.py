"""Predicates: one kind of statement a file, found by walking."""
