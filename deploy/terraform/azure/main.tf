# One region of a fleet on Azure: a Standard Load Balancer before the hosts that run the HAProxy edge, a
# Traffic Manager profile for the nearest region and one for each jurisdiction, and a container whose
# versions are immutable. Apply it once in each region; `global` in one of them.

terraform {
  required_version = ">= 1.5"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

provider "azurerm" {
  features {}
}

variable "group" {
  type        = string
  description = "Resource group of this region"
}

variable "location" {
  type = string
}

variable "jurisdiction" {
  type = string
}

variable "profiles" {
  type        = object({ nearest = string, within = string })
  description = "Traffic Manager profiles: of everybody, and of this jurisdiction alone"
}

variable "account" {
  type        = string
  description = "Name of the storage account"
}

variable "minimum_days" {
  type    = number
  default = 365
}

resource "azurerm_public_ip" "edge" {
  name                = "muniment-edge"
  resource_group_name = var.group
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = ["1", "2", "3"]
  domain_name_label   = "muniment-${var.location}"
}

resource "azurerm_lb" "edge" {
  name                = "muniment-edge"
  resource_group_name = var.group
  location            = var.location
  sku                 = "Standard"

  frontend_ip_configuration {
    name                 = "public"
    public_ip_address_id = azurerm_public_ip.edge.id
  }
}

# The hosts of the edge join this pool by their scale set. The balancer keeps the client's address.
resource "azurerm_lb_backend_address_pool" "edge" {
  name            = "edge"
  loadbalancer_id = azurerm_lb.edge.id
}

resource "azurerm_lb_probe" "https" {
  name                = "https"
  loadbalancer_id     = azurerm_lb.edge.id
  protocol            = "Tcp"
  port                = 8443
  interval_in_seconds = 5
  number_of_probes    = 2
}

resource "azurerm_lb_rule" "https" {
  name                           = "https"
  loadbalancer_id                = azurerm_lb.edge.id
  protocol                       = "Tcp"
  frontend_port                  = 443
  backend_port                   = 8443
  frontend_ip_configuration_name = "public"
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.edge.id]
  probe_id                       = azurerm_lb_probe.https.id
  idle_timeout_in_minutes        = 10
  tcp_reset_enabled              = true
}

# Only endpoints of the jurisdiction are in its profile: nobody else ever stands in.
resource "azurerm_traffic_manager_azure_endpoint" "edge" {
  for_each             = var.profiles
  name                 = var.location
  profile_id           = each.value
  target_resource_id   = azurerm_public_ip.edge.id
  always_serve_enabled = false
}

resource "azurerm_storage_account" "evidence" {
  name                = var.account
  resource_group_name = var.group
  location            = var.location
  account_tier        = "Standard"
  # Within the region: what replicates to a paired region may leave the jurisdiction.
  account_replication_type        = "ZRS"
  min_tls_version                 = "TLS1_2"
  allow_nested_items_to_be_public = false
  shared_access_key_enabled       = false

  blob_properties {
    versioning_enabled = true
  }

  immutability_policy {
    state                         = "Locked"
    allow_protected_append_writes = false
    period_since_creation_in_days = var.minimum_days
  }
}

resource "azurerm_storage_container" "evidence" {
  name               = "evidence"
  storage_account_id = azurerm_storage_account.evidence.id
}

output "store" {
  value = { url = "az://evidence/muniment", account = var.account, jurisdiction = var.jurisdiction }
}
