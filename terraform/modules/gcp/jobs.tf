locals {
  jobs = {
    sync = {
      account = google_service_account.writer.email
      # Not -q: then a run that went well would not log its last line, on which the alerts rest.
      arguments = concat(
        ["--log-format", "json", "sync", "--archive", module.archive_policy.archive_urls.gcp],
        ["--max-duration", "${var.max_duration_minutes}m", "--memory-limit", "${var.program_memory_limit_mib}MiB"],
        var.deployment_url == null ? [] : ["--deployment", var.deployment_url],
        var.sync_arguments,
      )
      secrets = { CONVEX_DEPLOY_KEY = google_secret_manager_secret.deploy_key.secret_id }
      # Time to end at a commit.
      timeout_seconds = (var.max_duration_minutes + 15) * 60
      schedule        = var.schedule
    }
    # It needs no key, and may not write.
    status = {
      account = google_service_account.reader.email
      arguments = [
        "--log-format", "json", "status", "--archive", module.archive_policy.archive_urls.gcp, "--fail-on", "window=${var.window_left_days}d",
      ]
      secrets         = {}
      timeout_seconds = 600
      schedule        = var.status_schedule
    }
  }
}

resource "google_cloud_run_v2_job" "this" {
  for_each = local.jobs

  project             = var.project_id
  name                = "${var.name}-${each.key}"
  location            = var.region
  deletion_protection = false
  labels              = var.labels

  template {
    task_count  = 1
    parallelism = 1

    template {
      service_account       = each.value.account
      timeout               = "${each.value.timeout_seconds}s"
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      # What a run did not finish, the next one does.
      max_retries = 0

      containers {
        name    = each.key
        image   = var.image
        command = var.entry_point
        args    = each.value.arguments

        resources {
          limits = {
            cpu    = tostring(var.cpu)
            memory = "${var.memory_mib}Mi"
          }
        }

        dynamic "env" {
          for_each = each.value.secrets

          content {
            name = env.key

            value_source {
              secret_key_ref {
                secret  = env.value
                version = "latest"
              }
            }
          }
        }
      }
    }
  }

  # The job cannot be made before its account may read the secret.
  depends_on = [google_secret_manager_secret_iam_member.writer]
}

# Two runs may overlap: one of them ends with exit code 4, and nothing is lost.
resource "google_cloud_scheduler_job" "this" {
  for_each = local.jobs

  project          = var.project_id
  name             = "${var.name}-${each.key}"
  description      = "${each.key} of ${var.name}"
  region           = var.region
  schedule         = each.value.schedule
  time_zone        = var.schedule_timezone
  paused           = var.schedule_paused
  attempt_deadline = "180s"

  # Of starting the job. Cloud Scheduler has no dead letters: the alert about absent runs tells of them.
  retry_config {
    retry_count          = 5
    min_backoff_duration = "10s"
    max_backoff_duration = "300s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.this[each.key].id}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }
}
