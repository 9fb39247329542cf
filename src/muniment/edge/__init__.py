"""The edge: configurations for the balancer in front of a fleet, and the care of a running one.

One description of the fleet (`description`) is rendered for HAProxy, NGINX, Envoy, Kubernetes and
AWS (`renderers`). The balancer is always an existing one; `run` supervises a HAProxy.
"""
