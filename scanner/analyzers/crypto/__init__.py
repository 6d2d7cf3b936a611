"""Weak cryptography: keys, certificates, library versions, settings. One file per check family."""
