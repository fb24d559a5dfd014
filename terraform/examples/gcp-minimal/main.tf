# An archive with everything at its default. See README.md.

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

provider "google" {
  project = var.project_id
  region  = var.region
}

module "convex_archive" {
  source = "../../modules/gcp"

  project_id = var.project_id
  region     = var.region
  image      = var.image
}

output "archive_url" {
  description = "What --archive says."
  value       = module.convex_archive.archive_url
}

output "deploy_key_secret_id" {
  description = "Add the deploy key here."
  value       = module.convex_archive.deploy_key_secret_id
}
