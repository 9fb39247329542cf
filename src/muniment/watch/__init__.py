"""What looks at the log while it grows, and says what is missing from it."""
