"""What objects were: versions from change events, what differs, who did it, what came of it."""
