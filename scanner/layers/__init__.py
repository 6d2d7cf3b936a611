"""The hot path: inflate, tar walk, pattern stream, whiteout merge. Nothing else."""
