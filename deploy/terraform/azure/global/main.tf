# The names: one profile for the nearest region, one for each jurisdiction.

variable "group" {
  type = string
}

variable "name" {
  type        = string
  description = "Prefix of the profiles' names in trafficmanager.net, for CNAME records of your own"
}

variable "jurisdictions" {
  type    = set(string)
  default = ["eu", "us"]
}

resource "azurerm_traffic_manager_profile" "edge" {
  for_each               = setunion(["nearest"], var.jurisdictions)
  name                   = "${var.name}-${each.key}"
  resource_group_name    = var.group
  traffic_routing_method = "Performance"

  dns_config {
    relative_name = "${var.name}-${each.key}"
    ttl           = 30
  }

  monitor_config {
    protocol                     = "TCP"
    port                         = 443
    interval_in_seconds          = 10
    timeout_in_seconds           = 5
    tolerated_number_of_failures = 2
  }
}

output "profiles" {
  value = { for place, profile in azurerm_traffic_manager_profile.edge : place => profile.id }
}
