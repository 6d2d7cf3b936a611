"""What runs beside the answers: workers that scan what is queued, and loops that keep what is known true."""
