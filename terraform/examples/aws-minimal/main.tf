# An archive with everything at its default, in the default VPC. See README.md.

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
  source = "../../modules/aws"

  image            = var.image
  vpc_id           = data.aws_vpc.default.id
  subnet_ids       = data.aws_subnets.default.ids
  assign_public_ip = true
}

output "archive_url" {
  description = "What --archive says."
  value       = module.convex_archive.archive_url
}

output "deploy_key_secret_arn" {
  description = "Put the deploy key here."
  value       = module.convex_archive.deploy_key_secret_arn
}
