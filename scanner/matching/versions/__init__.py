"""One version scheme a file; each exports ``SCHEME``."""
