output "archive_urls" {
  description = "What `--archive` says: `aws` (`s3://…`) and `gcp` (`gs://…`)."
  value = {
    aws = "s3://${var.bucket}${var.prefix == "" ? "" : "/${var.prefix}"}"
    gcp = "gs://${var.bucket}${var.prefix == "" ? "" : "/${var.prefix}"}"
  }
}

output "aws_writer_policy_json" {
  description = "IAM policy for `sync`, an `audit` that records its result, `compact`, `repair`, `forget`, and the destination of `copy`: list, read, write. No delete."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.writer })
}

output "aws_reader_policy_json" {
  description = "IAM policy for `status`, `query`, `restore`, `export`, `serve` and everything else that looks back: list and read."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.reader })
}

output "aws_verifier_policy_json" {
  description = "IAM policy for whoever checks the archive (`verify`, `audit --dry-run`): list, read, and write `runs/verified.json`, which remembers what was verified."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.verifier })
}

output "aws_vacuum_policy_json" {
  description = "IAM policy for `vacuum`: list, read, delete inside `log/`, `parts/`, `tables/` and `components/`. No write."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.aws_statements.vacuum })
}

output "gcp_grants" {
  description = "For Google Cloud, by `writer`, `reader`, `verifier` and `vacuum`: grants by name, each with the permissions of a custom role and the IAM condition (title, expression) of its binding on the bucket."
  value       = local.gcp_grants
}
