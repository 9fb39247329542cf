"""What the bytes of an entry mean: OCSF columns, and one parser a source of logs."""
