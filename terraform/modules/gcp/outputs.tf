output "archive_url" {
  description = "What `--archive` says."
  value       = module.archive_policy.archive_urls.gcp
}

output "bucket_name" {
  description = "Name of the bucket."
  value       = google_storage_bucket.archive.name
}

output "deploy_key_secret_id" {
  description = "Secret that holds the deploy key, or will: add a version."
  value       = google_secret_manager_secret.deploy_key.id
}

output "job_names" {
  description = "Cloud Run jobs, by `sync` and `status`."
  value       = { for name, job in google_cloud_run_v2_job.this : name => job.name }
}

output "writer_service_account" {
  description = "Service account of `sync`."
  value       = google_service_account.writer.email
}

output "reader_service_account" {
  description = "Service account of `status`, and of workload identities that read."
  value       = google_service_account.reader.email
}

output "custom_role_ids" {
  description = "Custom roles by who and what (`vacuum_delete`, …): bind those of `verifier` and `vacuum` yourself, with the condition of `grants`."
  value       = { for key, role in google_project_iam_custom_role.this : key => role.id }
}

output "grants" {
  description = "Permissions and conditions by `writer`, `reader`, `verifier`, `vacuum`."
  value       = module.archive_policy.gcp_grants
}
