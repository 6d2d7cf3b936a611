"""One image a file; each exports ``RECIPE`` and is found by walking this package."""
