"""scanner: looks at a container image once, and answers for it ever after.

The way of the data is the way of the folders: ``sources`` open an image, ``layers`` read each layer
once, ``analyzers`` find things in it, ``pipeline`` merges and decides what was seen, ``store`` keeps
it, ``reports`` and ``cli`` show it. See ``docs/architecture.md``.
"""

__version__ = "0.1.0"
