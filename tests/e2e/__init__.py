"""Muniment as its users run it: real processes, real sockets, real load balancers."""
