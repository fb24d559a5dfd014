# An archive in a folder, with a key of your own, the deploy key through Terraform without a trace in the state, readers inside and
# outside of Google Cloud, and a person who may delete. See README.md.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

variable "project_id" {
  description = "Project."
  type        = string
}

variable "region" {
  description = "Region."
  type        = string
}

variable "image" {
  description = "Container image with the program."
  type        = string
}

variable "deploy_key" {
  description = "Deploy key. Give it as TF_VAR_deploy_key, never in a file."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "kms_key_name" {
  description = "Cloud KMS key of the bucket."
  type        = string
  default     = null
}

variable "alert_emails" {
  description = "Who gets the alerts."
  type        = set(string)
  default     = []
}

variable "readers" {
  description = "Who may read the archive."
  type        = set(string)
  default     = []
}

variable "workload_identities" {
  description = "Workloads outside of Google Cloud that may read the archive."
  type        = set(string)
  default     = []
}

variable "vacuum_member" {
  description = "Who may delete files of the archive."
  type        = string
}

provider "google" {
  project = var.project_id
  region  = var.region
}

module "convex_archive" {
  source = "../../modules/gcp"

  project_id = var.project_id
  region     = var.region
  name       = "happy-otter"
  image      = var.image
  labels     = { service = "convex-archive" }

  cpu                      = 2
  memory_mib               = 4096
  program_memory_limit_mib = 1024
  sync_arguments           = ["--exclude", "log_*"]

  deploy_key         = var.deploy_key
  deploy_key_version = 1

  prefix                  = "convex/happy-otter"
  bucket_location         = "EU"
  kms_key_name            = var.kms_key_name
  noncurrent_version_days = 180

  readers             = var.readers
  workload_identities = var.workload_identities

  schedule               = "7 * * * *"
  no_completed_run_hours = 3
  window_left_days       = 12
  alert_emails           = var.alert_emails
}

# Whoever may delete: the role of the module, bound with its condition.
resource "google_storage_bucket_iam_member" "vacuum" {
  for_each = module.convex_archive.grants.vacuum

  bucket = module.convex_archive.bucket_name
  role   = module.convex_archive.custom_role_ids["vacuum_${each.key}"]
  member = var.vacuum_member

  condition {
    title       = each.value.title
    description = "vacuum"
    expression  = each.value.expression
  }
}

output "archive_url" {
  description = "What --archive says."
  value       = module.convex_archive.archive_url
}
