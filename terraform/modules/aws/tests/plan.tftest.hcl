# terraform/check runs these against a mock of the provider with the real provider's schema. With the real provider installed,
# `terraform test` runs them too; nothing is created.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-north-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::convex-archiver-123456789012-eu-north-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-north-1:123456789012:log-group:/convex-archiver/convex-archiver" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:convex-archiver/deploy-key-AbCdEf" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-north-1:123456789012:convex-archiver-dead-letters" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/convex-archiver" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-north-1:123456789012:cluster/convex-archiver" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn_without_revision = "arn:aws:ecs:eu-north-1:123456789012:task-definition/convex-archiver" }
  }
}

variables {
  image      = "123456789012.dkr.ecr.eu-north-1.amazonaws.com/convex-archiver:0.1.0"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1"]
  deploy_key = "prod:happy-otter-123|secret"
}

# terraform/check takes what it holds against parliament and against ECS's events from this run.
run "the_bucket_is_closed_and_keeps_every_live_file" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.archive.block_public_acls, aws_s3_bucket_public_access_block.archive.block_public_policy,
      aws_s3_bucket_public_access_block.archive.ignore_public_acls, aws_s3_bucket_public_access_block.archive.restrict_public_buckets,
    ])
    error_message = "Public access is blocked."
  }
  assert {
    condition     = aws_s3_bucket_versioning.archive.versioning_configuration[0].status == "Enabled"
    error_message = "Earlier versions are kept."
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.archive.rule :
      length(rule.transition) == 0 && alltrue([for end in rule.expiration : end.days == null && end.date == null])
    ])
    error_message = "No rule touches the newest version of an object."
  }
  assert {
    condition = anytrue([
      for s in jsondecode(aws_s3_bucket_policy.archive.policy).Statement :
      s.Effect == "Deny" && s.Principal == "*" && s.Action == "s3:*" && try(s.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "TLS only."
  }
  assert {
    condition     = aws_s3_bucket.archive.object_lock_enabled == false && length(aws_s3_bucket_object_lock_configuration.archive) == 0
    error_message = "Object Lock is chosen, never a default."
  }
}

run "a_sync_runs_as_the_writer_and_status_as_the_reader_without_a_key" {
  assert {
    condition = jsondecode(aws_ecs_task_definition.this["sync"].container_definitions)[0].command == [
      "--log-format", "json", "sync", "--archive", "s3://convex-archiver-123456789012-eu-north-1", "--max-duration", "50m", "--memory-limit", "512MiB",
    ]
    error_message = "The command line of a sync."
  }
  assert {
    condition = (
      [for s in jsondecode(aws_ecs_task_definition.this["sync"].container_definitions)[0].secrets : s.name] == ["CONVEX_DEPLOY_KEY"]
      && length(jsondecode(aws_ecs_task_definition.this["status"].container_definitions)[0].secrets) == 0
    )
    error_message = "Only a sync gets the key, and gets it from the secret."
  }
  assert {
    condition = (
      aws_ecs_task_definition.this["sync"].task_role_arn == aws_iam_role.writer.arn
      && aws_ecs_task_definition.this["status"].task_role_arn == aws_iam_role.reader.arn
      && aws_iam_role_policy.writer.policy == output.writer_policy_json
      && aws_iam_role_policy.reader.policy == output.reader_policy_json
    )
    error_message = "Each task has the role that fits."
  }
  assert {
    condition     = length(aws_secretsmanager_secret_version.deploy_key) == 0
    error_message = "Unless asked to, Terraform writes no value of the secret."
  }
}

run "every_signal_is_a_metric_and_every_alarm_reads_one" {
  assert {
    condition     = aws_cloudwatch_log_metric_filter.this["findings"].pattern == "{ ($.exit_code = 3) }"
    error_message = "The filter of findings."
  }
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.signal)) == toset(["findings", "conflict", "failed", "window"])
    error_message = "An alarm for each signal that one line is enough for."
  }
  assert {
    condition = alltrue([
      for name, alarm in aws_cloudwatch_metric_alarm.signal :
      alarm.metric_name == name && alarm.namespace == aws_cloudwatch_log_metric_filter.this[name].metric_transformation[0].namespace
    ])
    error_message = "Alarms read the metrics of the filters."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.no_completed_run.evaluation_periods * aws_cloudwatch_metric_alarm.no_completed_run.period == 6 * 3600
      && aws_cloudwatch_metric_alarm.no_completed_run.treat_missing_data == "breaching"
    )
    error_message = "Silence is an alarm."
  }
}

run "a_key_that_passes_through_is_not_in_the_state" {
  variables {
    deploy_key_version = 1
  }
  assert {
    condition     = length(aws_secretsmanager_secret_version.deploy_key) == 1 && aws_secretsmanager_secret_version.deploy_key[0].secret_string_wo == null
    error_message = "The value is write-only."
  }
}

run "object_lock_where_it_is_wanted" {
  variables {
    object_lock = { days = 30 }
  }
  assert {
    condition = (
      aws_s3_bucket.archive.object_lock_enabled
      && aws_s3_bucket_object_lock_configuration.archive[0].rule[0].default_retention[0].mode == "GOVERNANCE"
      && aws_s3_bucket_object_lock_configuration.archive[0].rule[0].default_retention[0].days == 30
    )
    error_message = "Object Lock with its default mode."
  }
}

run "what_exists_already_is_used" {
  variables {
    kms_key_arn           = "arn:aws:kms:eu-north-1:123456789012:key/99999999-2222-3333-4444-555555555555"
    cluster_arn           = "arn:aws:ecs:eu-north-1:123456789012:cluster/jobs"
    alarm_topic_arn       = "arn:aws:sns:eu-north-1:123456789012:pager"
    deploy_key_secret_arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:convex-AbCdEf"
    deployment_url        = "https://convex.example.com"
    entry_point           = ["/convex-archiver"]
  }
  assert {
    condition = (
      length(aws_kms_key.this) == 0 && length(aws_ecs_cluster.this) == 0 && length(aws_sns_topic.alarms) == 0
      && length(aws_secretsmanager_secret.deploy_key) == 0
    )
    error_message = "Nothing is made twice."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this["sync"].container_definitions)[0].entryPoint == ["/convex-archiver"]
    error_message = "The entry point."
  }
  assert {
    condition     = aws_scheduler_schedule.this["sync"].target[0].arn == var.cluster_arn
    error_message = "The cluster."
  }
}

run "an_image_without_a_tag_is_refused" {
  command = plan
  variables {
    image = "registry.example.com/convex-archiver"
  }
  expect_failures = [var.image]
}

run "a_key_among_the_arguments_is_refused" {
  command = plan
  variables {
    sync_arguments = ["--key", "prod:happy-otter-123|secret"]
  }
  expect_failures = [var.sync_arguments]
}

run "memory_that_fargate_does_not_have_is_refused" {
  command = plan
  variables {
    memory_mib = 1536
  }
  expect_failures = [var.memory_mib]
}

run "more_than_the_window_is_refused" {
  command = plan
  variables {
    window_left_days = 14
  }
  expect_failures = [var.window_left_days]
}
