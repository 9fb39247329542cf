"""What is looked at: one module a system, and what their configurations have in common."""
