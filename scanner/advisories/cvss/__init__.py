"""CVSS vectors and what they score. Pure."""

from scanner.advisories.cvss.score import base_score

__all__ = ["base_score"]
