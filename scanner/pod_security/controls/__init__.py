"""One file a control, found by walking."""
