# One region of a fleet on AWS: a Network Load Balancer before the hosts that run the HAProxy edge, so that
# client certificates and mutual TLS stay as they are, records by latency and by
# residency, and a bucket that locks. Apply it once in each region.
#
# For an Application Load Balancer with a web ACL straight before the nodes there is
# `muniment edge render aws`.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.80"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { application = "muniment", jurisdiction = var.jurisdiction }
  }
}

locals {
  # Names that this region answers for: everybody's, and its jurisdiction's own.
  names = {
    nearest = var.domain
    within  = "${var.jurisdiction}.${var.domain}"
  }
  streams = { for port in var.stream_ports : tostring(port) => port }
}

# --- the way in

resource "aws_lb" "edge" {
  name                             = "muniment-edge"
  load_balancer_type               = "network"
  subnets                          = var.subnets
  security_groups                  = [aws_security_group.edge.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = true
}

resource "aws_security_group" "edge" {
  name        = "muniment-edge"
  description = "HTTPS and streams from where clients are"
  vpc_id      = var.vpc

  dynamic "ingress" {
    for_each = concat([443], var.stream_ports)
    content {
      protocol    = "tcp"
      from_port   = ingress.value
      to_port     = ingress.value
      cidr_blocks = var.clients
    }
  }

  egress {
    protocol        = "tcp"
    from_port       = 0
    to_port         = 65535
    security_groups = [var.edge_security_group]
  }
}

# The edge's `listen.proxy_from` names the subnets of this balancer: each connection begins with a PROXY
# header, so that limits and allow lists see who is behind it.
resource "aws_lb_target_group" "https" {
  name                 = "muniment-edge"
  port                 = 8443
  protocol             = "TCP"
  vpc_id               = var.vpc
  proxy_protocol_v2    = true
  deregistration_delay = 60

  health_check {
    protocol            = "TCP"
    interval            = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_target_group" "stream" {
  for_each             = local.streams
  name                 = "muniment-stream-${each.key}"
  port                 = each.value
  protocol             = "TCP"
  vpc_id               = var.vpc
  proxy_protocol_v2    = true
  deregistration_delay = 60
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.edge.arn
  port              = 443
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.https.arn
  }
}

resource "aws_lb_listener" "stream" {
  for_each          = local.streams
  load_balancer_arn = aws_lb.edge.arn
  port              = each.value
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.stream[each.key].arn
  }
}

resource "aws_autoscaling_attachment" "https" {
  autoscaling_group_name = var.edge_group
  lb_target_group_arn    = aws_lb_target_group.https.arn
}

resource "aws_autoscaling_attachment" "stream" {
  for_each               = local.streams
  autoscaling_group_name = var.edge_group
  lb_target_group_arn    = aws_lb_target_group.stream[each.key].arn
}

# --- names

# `log.example.com` is the nearest healthy region. `eu.log.example.com` is one of the regions in the EU,
# and of nobody else: only stacks of that jurisdiction have records of that name.
resource "aws_route53_record" "edge" {
  for_each       = local.names
  zone_id        = var.zone
  name           = each.value
  type           = "A"
  set_identifier = var.region

  latency_routing_policy {
    region = var.region
  }

  alias {
    name                   = aws_lb.edge.dns_name
    zone_id                = aws_lb.edge.zone_id
    evaluate_target_health = true
  }
}
