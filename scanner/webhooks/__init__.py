"""Registry dialects, one a file: headers and raw body in, pushes out. Found by ``scanner.discovery``."""
