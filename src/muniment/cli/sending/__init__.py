"""Sending files: cut into batches of whole lines, delivered once, resumed after any break."""
