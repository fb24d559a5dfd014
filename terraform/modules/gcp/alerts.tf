locals {
  channels = concat(var.notification_channels, [for channel in google_monitoring_notification_channel.email : channel.id])

  # One line of the log is enough for these.
  signal_alerts = {
    findings = "Look at the run's last log lines. A gap, a table that is missing or one that differs from the deployment."
    conflict = "Two syncs ran at once. Nothing is lost. Find the other writer, or run less often."
    failed   = "The run's last log lines say why. Running again does not help by itself."
    window   = "Sync soon: what the deployment drops before that is lost for good."
  }

  of_our_jobs = "resource.type=\"cloud_run_job\" AND resource.labels.location=\"${var.region}\" AND resource.labels.job_name=(${join(" OR ", [for name in keys(local.jobs) : "\"${var.name}-${name}\""])})"
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  project      = var.project_id
  display_name = "${var.name} ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_logging_metric" "this" {
  for_each = module.log_signals.signals

  project     = var.project_id
  name        = "${var.name}/${each.key}"
  description = each.value.description
  filter      = "${local.of_our_jobs} AND ${each.value.cloud_logging}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}

resource "google_monitoring_alert_policy" "signal" {
  for_each = local.signal_alerts

  project               = var.project_id
  display_name          = "${var.name} ${each.key}"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = var.labels

  documentation {
    mime_type = "text/markdown"
    content   = "${module.log_signals.signals[each.key].description} ${each.value}"
  }

  conditions {
    display_name = each.key

    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this[each.key].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
}

# Also when no job started, nothing was logged, or every run ends with exit code 5. Cloud Monitoring notices the absence of what was
# there before: the first sync has to complete once.
resource "google_monitoring_alert_policy" "no_completed_run" {
  project               = var.project_id
  display_name          = "${var.name} no completed run"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = var.labels

  documentation {
    mime_type = "text/markdown"
    content   = "No sync has completed for ${var.no_completed_run_hours} hours. The deployment drops changes after 14 days."
  }

  conditions {
    display_name = "no completed run"

    condition_absent {
      filter   = "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["completed"].name}\""
      duration = "${var.no_completed_run_hours * 3600}s"

      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
}

# What leaves no last line in the log: a job that did not start, was killed, or a status that could not look.
resource "google_monitoring_alert_policy" "status_failed" {
  project               = var.project_id
  display_name          = "${var.name} status fails"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = var.labels

  documentation {
    mime_type = "text/markdown"
    content   = "${var.name}-status failed: it found that little is left of the window, or it could not look. Its log says which."
  }

  conditions {
    display_name = "status fails"

    condition_threshold {
      filter = join(" AND ", [
        "resource.type=\"cloud_run_job\"",
        "resource.labels.job_name=\"${var.name}-status\"",
        "metric.type=\"run.googleapis.com/job/completed_execution_count\"",
        "metric.labels.result=\"failed\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
}
