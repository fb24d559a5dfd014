# Private subnets, an archive in a folder, Object Lock, the deploy key through Terraform without a trace in the state, people who may
# read, and a role that may delete. See README.md.

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

variable "vpc_id" {
  description = "VPC with private subnets and a NAT gateway."
  type        = string
}

variable "private_subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "deploy_key" {
  description = "Deploy key. Give it as TF_VAR_deploy_key, never in a file."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "alarm_emails" {
  description = "Who gets the alarms."
  type        = set(string)
  default     = []
}

variable "access_log_bucket" {
  description = "Bucket for S3 access logs."
  type        = string
  default     = null
}

variable "vacuum_principal_arn" {
  description = "Who may take on the role that deletes files of the archive."
  type        = string
}

provider "aws" {
  region = var.region
}

module "convex_archive" {
  source = "../../modules/aws"

  name  = "happy-otter"
  image = var.image
  tags  = { service = "convex-archive" }

  cpu_architecture         = "ARM64"
  cpu                      = 1024
  memory_mib               = 2048
  program_memory_limit_mib = 1024
  sync_arguments           = ["--exclude", "log_*"]

  deploy_key         = var.deploy_key
  deploy_key_version = 1

  prefix                  = "convex/happy-otter"
  object_lock             = { mode = "GOVERNANCE", days = 30 }
  noncurrent_version_days = 180
  access_log_bucket       = var.access_log_bucket

  vpc_id     = var.vpc_id
  subnet_ids = var.private_subnet_ids

  schedule_expression    = "cron(7 * * * ? *)"
  no_completed_run_hours = 3
  window_left_days       = 12
  alarm_emails           = var.alarm_emails
}

# People and programs that read the archive.
resource "aws_iam_policy" "readers" {
  name   = "happy-otter-archive-readers"
  policy = module.convex_archive.reader_policy_json
}

# Whoever may delete: a role apart from all others, for a person with a second factor.
resource "aws_iam_role" "vacuum" {
  name = "happy-otter-vacuum"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = var.vacuum_principal_arn }
      Action    = "sts:AssumeRole"
      Condition = { Bool = { "aws:MultiFactorAuthPresent" = "true" } }
    }]
  })
}

resource "aws_iam_role_policy" "vacuum" {
  name   = "vacuum"
  role   = aws_iam_role.vacuum.id
  policy = module.convex_archive.vacuum_policy_json
}

output "archive_url" {
  description = "What --archive says."
  value       = module.convex_archive.archive_url
}

output "readers_policy_arn" {
  description = "Attach it to who may read."
  value       = aws_iam_policy.readers.arn
}
