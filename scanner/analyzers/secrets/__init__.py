"""Credentials: the rule engine; the rules are data in ``rules/*.toml``."""
