output "archive_urls" {
  description = "What `--archive` says: `aws` (`s3://…`) and `gcp` (`gs://…`)."
  value = {
    aws = "s3://${var.bucket}${var.prefix == "" ? "" : "/${var.prefix}"}"
    gcp = "gs://${var.bucket}${var.prefix == "" ? "" : "/${var.prefix}"}"
  }
}

output "aws_writer_policy_json" {
  description = "IAM policy for `sync` and for an `audit` that records its result: list, read, write. No delete."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.writer })
}

output "aws_reader_policy_json" {
  description = "IAM policy for `status`, `query`, `restore`, `export`, `serve` and everything else that looks back: list and read."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.reader })
}

output "aws_verifier_policy_json" {
  description = "IAM policy for whoever checks the archive (`audit --dry-run`): list and read. The same rights as the reader's today, and an output of its own so that they can differ."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.verifier })
}

output "aws_vacuum_policy_json" {
  description = "IAM policy for whoever may delete files of the archive: list, read, delete inside `log/`, `parts/`, `tables/` and `components/`. No write. No verb needs it yet."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.vacuum })
}

output "gcp_grants" {
  description = "For Google Cloud, by `writer`, `reader`, `verifier` and `vacuum`: grants by name, each with the permissions of a custom role and the IAM condition (title, expression) of its binding on the bucket."
  value       = local.gcp_grants
}
