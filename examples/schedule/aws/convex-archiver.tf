# Archives the Convex deployment of your deploy key to s3://bucket/happy-otter every hour, on AWS.
#
#   terraform init && terraform apply -var region=… -var image=…
#
# Then put the deploy key into the secret that it prints.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "image" {
  description = "Container image with the program."
  type        = string
  default     = "REGISTRY/convex-archiver:0.1.0"
}

provider "aws" {
  region = var.region
}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

module "convex_archive" {
  source = "github.com/OWNER/convex-archiver//terraform/modules/aws?ref=v0.1.0"

  image                = var.image
  vpc_id               = data.aws_vpc.default.id
  subnet_ids           = data.aws_subnets.default.ids
  assign_public_ip     = true
  schedule_expression  = "rate(1 hour)"
  bucket_name          = "bucket"
  prefix               = "happy-otter"
  max_duration_minutes = 50
}

output "archive_url" {
  description = "What --archive says."
  value       = module.convex_archive.archive_url
}

output "deploy_key_secret_arn" {
  description = "Put the deploy key here."
  value       = module.convex_archive.deploy_key_secret_arn
}
