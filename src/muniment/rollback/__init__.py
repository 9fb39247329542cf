"""Putting an object back to an earlier version: plan, record, apply, look, record."""
