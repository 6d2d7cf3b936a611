"""One file a command; each exports ``COMMAND``."""
