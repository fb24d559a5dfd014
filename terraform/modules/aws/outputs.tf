output "archive_url" {
  description = "What `--archive` says."
  value       = module.archive_policy.archive_urls.aws
}

output "bucket_name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.archive.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.archive.arn
}

output "kms_key_arn" {
  description = "KMS key of bucket, secret, logs and alarms."
  value       = local.kms_key_arn
}

output "deploy_key_secret_arn" {
  description = "Secret that holds the deploy key, or will: put its value."
  value       = local.secret_arn
}

output "cluster_arn" {
  description = "ECS cluster of the tasks."
  value       = local.cluster_arn
}

output "task_definition_arns" {
  description = "Task definitions, by `sync` and `status`, without revision: for `aws ecs run-task`."
  value       = { for name, task in aws_ecs_task_definition.this : name => task.arn_without_revision }
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.tasks.id
}

output "log_group_name" {
  description = "Log group of the tasks."
  value       = aws_cloudwatch_log_group.this.name
}

output "alarm_topic_arn" {
  description = "SNS topic of the alarms."
  value       = local.topic_arn
}

output "dead_letter_queue_url" {
  description = "Queue of what could not be started."
  value       = aws_sqs_queue.dead_letters.url
}

output "writer_policy_json" {
  description = "IAM policy of the writer, for other places that run `sync`."
  value       = module.archive_policy.aws_writer_policy_json
}

output "reader_policy_json" {
  description = "IAM policy for people and programs that read the archive."
  value       = module.archive_policy.aws_reader_policy_json
}

output "verifier_policy_json" {
  description = "IAM policy for whoever checks the archive."
  value       = module.archive_policy.aws_verifier_policy_json
}

output "vacuum_policy_json" {
  description = "IAM policy for whoever may delete files of the archive. The module gives it to nobody."
  value       = module.archive_policy.aws_vacuum_policy_json
}
