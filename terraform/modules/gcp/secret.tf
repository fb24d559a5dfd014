# The entry only. Its value never passes through the state: it is added by hand, or by the write-only argument below.
resource "google_secret_manager_secret" "deploy_key" {
  project   = var.project_id
  secret_id = "${var.name}-deploy-key"
  labels    = var.labels

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_version" "deploy_key" {
  count = var.deploy_key_version == null ? 0 : 1

  secret                 = google_secret_manager_secret.deploy_key.id
  secret_data_wo         = var.deploy_key
  secret_data_wo_version = var.deploy_key_version
}

resource "google_secret_manager_secret_iam_member" "writer" {
  project   = var.project_id
  secret_id = google_secret_manager_secret.deploy_key.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.writer.email}"
}
