"""Muniment: the evidence log for load balancers and Kubernetes ingress."""

__version__ = "0.1.0"
