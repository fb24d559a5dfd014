locals {
  secret_arn = var.deploy_key_secret_arn != null ? var.deploy_key_secret_arn : aws_secretsmanager_secret.deploy_key[0].arn
}

# The entry only. Its value never passes through the state: it is put by hand, or by the write-only argument below.
resource "aws_secretsmanager_secret" "deploy_key" {
  #checkov:skip=CKV2_AWS_57:Only Convex's dashboard makes deploy keys; a new one is put by hand, and the next run uses it.
  count = var.deploy_key_secret_arn == null ? 1 : 0

  name        = "${var.name}/deploy-key"
  description = "Deploy key of the Convex deployment that ${var.name} archives"
  kms_key_id  = local.kms_key_arn
  tags        = var.tags
}

resource "aws_secretsmanager_secret_version" "deploy_key" {
  count = var.deploy_key_secret_arn == null && var.deploy_key_version != null ? 1 : 0

  secret_id                = aws_secretsmanager_secret.deploy_key[0].id
  secret_string_wo         = var.deploy_key
  secret_string_wo_version = var.deploy_key_version
}
