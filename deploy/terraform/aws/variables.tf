variable "region" {
  type        = string
  description = "Where this part of the fleet stands"
}

variable "jurisdiction" {
  type        = string
  description = "Whose law it stands under; that of the nodes' setting of the same name"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.jurisdiction))
    error_message = "Use a-z, 0-9 and -, such as eu."
  }
}

variable "domain" {
  type        = string
  description = "Such as log.example.com"
}

variable "zone" {
  type        = string
  description = "The hosted zone of the domain"
}

variable "vpc" {
  type = string
}

variable "subnets" {
  type        = list(string)
  description = "Public subnets, in three zones"
}

variable "clients" {
  type        = list(string)
  description = "Networks that clients come from"
}

variable "stream_ports" {
  type        = list(number)
  default     = []
  description = "Ports of the edge's [[stream]] tables"
}

variable "edge_group" {
  type        = string
  description = "Auto Scaling group of the hosts that run the edge"
}

variable "edge_security_group" {
  type = string
}

variable "node_role" {
  type        = string
  description = "IAM role of the nodes"
}

variable "bucket_prefix" {
  type = string
}

variable "minimum_days" {
  type        = number
  default     = 365
  description = "Days that nobody can shorten"
}
