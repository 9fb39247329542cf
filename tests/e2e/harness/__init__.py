"""What the end-to-end tests drive and measure with; everything is on loopback and bounded."""
