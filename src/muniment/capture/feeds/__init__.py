"""What grows and is followed: files, the journal, buckets."""
