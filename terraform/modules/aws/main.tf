data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  bucket_name = coalesce(var.bucket_name, "${var.name}-${local.account}-${local.region}")
  # Built from names, so that the key's policy can name it before it exists.
  log_group_name = "/convex-archiver/${var.name}"
  log_group_arn  = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group_name}"
}

module "archive_policy" {
  source = "../archive_policy"

  bucket             = local.bucket_name
  prefix             = var.prefix
  aws_partition      = local.partition
  encrypted_with_kms = true
  kms_key_arn        = local.kms_key_arn
}

module "log_signals" {
  source = "../log_signals"
}
