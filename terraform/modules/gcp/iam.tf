locals {
  # Names of custom roles know no hyphens.
  role_prefix = replace(var.name, "-", "_")

  grants = {
    for grant in flatten([
      for who, grants in module.archive_policy.gcp_grants : [
        for what, grant in grants : { key = "${who}_${what}", who = who, grant = grant }
      ]
    ]) : grant.key => grant
  }
  # The module gives nobody the rights of the verifier and of vacuum.
  members = {
    writer = ["serviceAccount:${google_service_account.writer.email}"]
    reader = concat(["serviceAccount:${google_service_account.reader.email}"], tolist(var.readers))
  }
}

# The program runs as these: no keys, no files.
resource "google_service_account" "writer" {
  project      = var.project_id
  account_id   = "${var.name}-writer"
  display_name = "sync of ${var.name}: reads and writes the archive"
}

resource "google_service_account" "reader" {
  project      = var.project_id
  account_id   = "${var.name}-reader"
  display_name = "status of ${var.name}: reads the archive"
}

resource "google_service_account" "scheduler" {
  project      = var.project_id
  account_id   = "${var.name}-scheduler"
  display_name = "Runs the jobs of ${var.name} on time"
}

resource "google_project_iam_custom_role" "this" {
  for_each = local.grants

  project     = var.project_id
  role_id     = "${local.role_prefix}_${each.key}"
  title       = "${var.name} ${replace(each.key, "_", " ")}"
  description = "Of the archive in ${local.bucket_name}: ${each.value.grant.title}"
  permissions = each.value.grant.permissions
}

resource "google_storage_bucket_iam_binding" "this" {
  for_each = { for key, grant in local.grants : key => grant if contains(["writer", "reader"], grant.who) }

  bucket  = google_storage_bucket.archive.name
  role    = google_project_iam_custom_role.this[each.key].id
  members = local.members[each.value.who]

  condition {
    title       = each.value.grant.title
    description = "See terraform/modules/archive_policy"
    expression  = each.value.grant.expression
  }
}

resource "google_service_account_iam_member" "workload_identity" {
  for_each = var.workload_identities

  service_account_id = google_service_account.reader.name
  role               = "roles/iam.workloadIdentityUser"
  member             = each.value
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  for_each = local.jobs

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.this[each.key].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.scheduler.email}"
}
