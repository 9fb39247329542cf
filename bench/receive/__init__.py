"""What each protocol costs beside the native HTTP path."""
