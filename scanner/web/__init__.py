"""The HTTP service: webhooks in, scans asked for, what is known of images by digest. Composed by ``scanner.app``."""
