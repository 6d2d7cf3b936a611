"""Known vulnerabilities: records in, findings out. Pure."""
