"""Peers measured beside Muniment: Tessera, immudb and rsyslog."""
