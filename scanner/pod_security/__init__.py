"""Pods and what makes them: read, and checked by the Pod Security Standards and beyond. Pure."""
