locals {
  bucket_name = coalesce(var.bucket_name, "${var.project_id}-${var.name}")
}

module "archive_policy" {
  source = "../archive_policy"

  bucket = local.bucket_name
  prefix = var.prefix
}

module "log_signals" {
  source = "../log_signals"
}
