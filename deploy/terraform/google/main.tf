# One region of a fleet on Google Cloud: a regional passthrough Network Load Balancer before the hosts that
# run the HAProxy edge, records by geography and by jurisdiction, and a bucket whose
# objects can be locked. A global anycast balancer is left out on purpose: it ends connections wherever the
# client is near, and bytes of a restricted log would pass through places outside of the jurisdiction.

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "jurisdiction" {
  type = string
}

variable "edge_group" {
  type        = string
  description = "Regional instance group of the hosts that run the edge"
}

variable "zone" {
  type        = string
  description = "The managed zone of the domain"
}

variable "domain" {
  type        = string
  description = "Such as log.example.com., with its last dot"
}

variable "others" {
  type        = map(list(string))
  default     = {}
  description = "Addresses of the edges in other regions, by region, for the record of everybody"
}

variable "siblings" {
  type        = map(list(string))
  default     = {}
  description = "The same, of this jurisdiction alone"
}

variable "bucket" {
  type = string
}

variable "node_account" {
  type        = string
  description = "Service account of the nodes"
}

resource "google_compute_address" "edge" {
  name   = "muniment-edge"
  region = var.region
}

resource "google_compute_region_health_check" "edge" {
  name                = "muniment-edge"
  region              = var.region
  check_interval_sec  = 5
  timeout_sec         = 2
  healthy_threshold   = 2
  unhealthy_threshold = 2

  tcp_health_check {
    port = 8443
  }
}

resource "google_compute_region_backend_service" "edge" {
  name                            = "muniment-edge"
  region                          = var.region
  protocol                        = "TCP"
  load_balancing_scheme           = "EXTERNAL"
  health_checks                   = [google_compute_region_health_check.edge.id]
  connection_draining_timeout_sec = 60

  backend {
    group          = var.edge_group
    balancing_mode = "CONNECTION"
  }
}

# Passthrough: packets arrive as they were sent, so the edge listens on 443 itself.
resource "google_compute_forwarding_rule" "https" {
  name                  = "muniment-edge"
  region                = var.region
  load_balancing_scheme = "EXTERNAL"
  ip_address            = google_compute_address.edge.id
  ip_protocol           = "TCP"
  ports                 = ["443"]
  backend_service       = google_compute_region_backend_service.edge.id
}

resource "google_dns_record_set" "nearest" {
  managed_zone = var.zone
  name         = var.domain
  type         = "A"
  ttl          = 30

  routing_policy {
    dynamic "geo" {
      for_each = merge({ (var.region) = [google_compute_address.edge.address] }, var.others)
      content {
        location = geo.key
        rrdatas  = geo.value
      }
    }
  }
}

# Only edges of the jurisdiction are behind this name: nobody else ever stands in.
resource "google_dns_record_set" "within" {
  managed_zone = var.zone
  name         = "${var.jurisdiction}.${var.domain}"
  type         = "A"
  ttl          = 30

  routing_policy {
    dynamic "geo" {
      for_each = merge({ (var.region) = [google_compute_address.edge.address] }, var.siblings)
      content {
        location = geo.key
        rrdatas  = geo.value
      }
    }
  }
}

resource "google_storage_bucket" "evidence" {
  name                        = var.bucket
  location                    = var.region
  enable_object_retention     = true
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }
}

resource "google_storage_bucket_iam_member" "node" {
  bucket = google_storage_bucket.evidence.name
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${var.node_account}"
}

output "store" {
  value = { url = "gs://${var.bucket}/muniment", jurisdiction = var.jurisdiction }
}
