# terraform/check runs these against a mock of the provider with the real provider's schema. With the real provider installed,
# `terraform test` runs them too; nothing is created.

mock_provider "google" {}

variables {
  project_id = "happy-otter"
  region     = "europe-north1"
  image      = "europe-north1-docker.pkg.dev/happy-otter/jobs/convex-archiver:0.1.0"
  deploy_key = "prod:happy-otter-123|secret"
}

run "the_bucket_is_closed_and_keeps_every_live_file" {
  assert {
    condition = (
      google_storage_bucket.archive.public_access_prevention == "enforced"
      && google_storage_bucket.archive.uniform_bucket_level_access
      && google_storage_bucket.archive.versioning[0].enabled
    )
    error_message = "Nothing is public, and earlier versions are kept."
  }
  assert {
    condition = alltrue([
      for rule in google_storage_bucket.archive.lifecycle_rule :
      one(rule.action).type == "AbortIncompleteMultipartUpload"
      || (one(rule.action).type == "Delete" && one(rule.condition).with_state == "ARCHIVED")
    ])
    error_message = "No rule touches the newest version of an object."
  }
}

run "a_sync_runs_as_the_writer_and_status_as_the_reader_without_a_key" {
  assert {
    condition = google_cloud_run_v2_job.this["sync"].template[0].template[0].containers[0].args == tolist([
      "--log-format", "json", "sync", "--archive", "gs://happy-otter-convex-archiver", "--max-duration", "50m", "--memory-limit", "512MiB",
    ])
    error_message = "The command line of a sync."
  }
  assert {
    condition = (
      [for env in google_cloud_run_v2_job.this["sync"].template[0].template[0].containers[0].env : env.name] == ["CONVEX_DEPLOY_KEY"]
      && length(google_cloud_run_v2_job.this["status"].template[0].template[0].containers[0].env) == 0
    )
    error_message = "Only a sync gets the key, and gets it from the secret."
  }
  assert {
    condition = (
      google_cloud_run_v2_job.this["sync"].template[0].template[0].service_account == google_service_account.writer.email
      && google_cloud_run_v2_job.this["status"].template[0].template[0].service_account == google_service_account.reader.email
      && google_secret_manager_secret_iam_member.writer.member == "serviceAccount:${google_service_account.writer.email}"
    )
    error_message = "Each job runs as who fits."
  }
  assert {
    condition     = length(google_secret_manager_secret_version.deploy_key) == 0
    error_message = "Unless asked to, Terraform writes no value of the secret."
  }
}

run "writer_and_reader_have_their_rights_and_nobody_may_vacuum" {
  assert {
    condition     = toset(keys(google_storage_bucket_iam_binding.this)) == toset(["writer_read", "writer_write", "writer_rewrite", "reader_read"])
    error_message = "The bindings."
  }
  assert {
    condition     = alltrue([for key, binding in google_storage_bucket_iam_binding.this : length(binding.condition) == 1])
    error_message = "Every right has its condition."
  }
  assert {
    condition     = contains(keys(google_project_iam_custom_role.this), "vacuum_delete")
    error_message = "The role of who may delete is there to be bound."
  }
}

run "every_signal_is_a_metric" {
  assert {
    condition     = google_logging_metric.this["window"].filter == "resource.type=\"cloud_run_job\" AND resource.labels.location=\"europe-north1\" AND resource.labels.job_name=(\"convex-archiver-status\" OR \"convex-archiver-sync\") AND (jsonPayload.condition=\"window\" OR jsonPayload.condition=\"clock\")"
    error_message = "The filter of the window."
  }
  assert {
    condition     = google_monitoring_alert_policy.no_completed_run.conditions[0].condition_absent[0].duration == "21600s"
    error_message = "Silence is an alert."
  }
}

run "a_key_that_passes_through_is_not_in_the_state" {
  variables {
    deploy_key_version = 1
  }
  assert {
    condition     = length(google_secret_manager_secret_version.deploy_key) == 1 && google_secret_manager_secret_version.deploy_key[0].secret_data_wo == null
    error_message = "The value is write-only."
  }
}

run "an_archive_for_everybody_is_refused" {
  command = plan
  variables {
    readers = ["allUsers"]
  }
  expect_failures = [var.readers]
}

run "a_key_among_the_arguments_is_refused" {
  command = plan
  variables {
    sync_arguments = ["--key", "prod:happy-otter-123|secret"]
  }
  expect_failures = [var.sync_arguments]
}

run "a_person_is_no_workload" {
  command = plan
  variables {
    workload_identities = ["user:ada@example.com"]
  }
  expect_failures = [var.workload_identities]
}
