"""Trust: verifying whole logs, by their files or from afar, and by what others remember."""
