"""Signed attestations: statements about scanned digests, their signatures, and where they are published."""
