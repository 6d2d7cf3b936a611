"""The image config and dangerous entries. One file per check family."""
