"""The command line, against a small server of this folder's own."""
