"""A whole fleet on one machine: nodes, edge and store, made once, then started and supervised."""
