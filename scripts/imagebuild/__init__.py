"""Builds real OCI images from distribution packages and language registries, without an engine."""
