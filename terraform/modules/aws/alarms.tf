locals {
  topic_arn = var.alarm_topic_arn != null ? var.alarm_topic_arn : aws_sns_topic.alarms[0].arn

  topic_policy = var.alarm_topic_arn != null ? null : {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms[0].arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  }

  # One line of the log is enough for these.
  signal_alarms = {
    findings = "Look at the run's last log lines. A gap, a table that is missing or one that differs from the deployment."
    conflict = "Two syncs ran at once. Nothing is lost. Find the other writer, or raise the schedule's interval."
    failed   = "The run's last log lines say why. Running again does not help by itself."
    window   = "Sync soon: what the deployment drops before that is lost for good."
  }
}

resource "aws_sns_topic" "alarms" {
  count = var.alarm_topic_arn == null ? 1 : 0

  name              = "${var.name}-alarms"
  kms_master_key_id = local.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_policy" "alarms" {
  count = var.alarm_topic_arn == null ? 1 : 0

  arn    = aws_sns_topic.alarms[0].arn
  policy = jsonencode(local.topic_policy)
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "signal" {
  for_each = local.signal_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${module.log_signals.signals[each.key].description} ${each.value}"
  namespace           = aws_cloudwatch_log_metric_filter.this[each.key].metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.this[each.key].metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]
  tags                = var.tags
}

# Also when no task started, nothing was logged, or every run ends with exit code 5.
resource "aws_cloudwatch_metric_alarm" "no_completed_run" {
  alarm_name          = "${var.name}-no-completed-run"
  alarm_description   = "No sync has completed for ${var.no_completed_run_hours} hours. The deployment drops changes after 14 days."
  namespace           = aws_cloudwatch_log_metric_filter.this["completed"].metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.this["completed"].metric_transformation[0].name
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = var.no_completed_run_hours
  datapoints_to_alarm = var.no_completed_run_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-not-started"
  alarm_description   = "The scheduler could not start a task. The message in the queue says why."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]
  tags                = var.tags
}

# What leaves no last line in the log: a task that did not start, was killed (137: out of memory), or did not find the program. A sync
# logs its exit codes, 0 to 5 and 130, itself. Of status 3 is told by the log, 5 is a store that is busy, all others come here.
resource "aws_cloudwatch_event_rule" "died" {
  name        = "${var.name}-died"
  description = "A task of ${var.name} did not start, was killed, or could not look"
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [local.cluster_arn]
      lastStatus = ["STOPPED"]
      "$or" = concat(
        [{ group = [for task in aws_ecs_task_definition.this : "family:${task.family}"], stopCode = ["TaskFailedToStart"] }],
        [
          for name, codes in { sync = [0, 1, 2, 3, 4, 5, 130], status = [0, 3, 5] } :
          { group = ["family:${aws_ecs_task_definition.this[name].family}"], containers = { exitCode = [{ anything-but = codes }] } }
        ],
      )
    }
  })
}

resource "aws_cloudwatch_event_target" "died" {
  rule      = aws_cloudwatch_event_rule.died.name
  target_id = "alarms"
  arn       = local.topic_arn
}
