# Archives the Convex deployment {{deployment}} to {{archive}} every {{every}}, on Google Cloud.
#
#   terraform init && terraform apply -var project_id=… -var region=… -var image=…
#
# Then add the deploy key to the secret that it prints.
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
  default     = {{image_hcl}}
}

provider "google" {
  project = var.project_id
  region  = var.region
}

module "convex_archive" {
  source = "github.com/OWNER/convex-archiver//terraform/modules/gcp?ref=v{{version}}"

{{module_arguments}}}

output "archive_url" {
  description = "What --archive says."
  value       = module.convex_archive.archive_url
}

output "deploy_key_secret_id" {
  description = "Add the deploy key here."
  value       = module.convex_archive.deploy_key_secret_id
}
