# Against a mock: nothing is created.

mock_provider "google" {}

run "plans_and_applies" {
  variables {
    project_id          = "happy-otter"
    region              = "europe-north1"
    image               = "europe-north1-docker.pkg.dev/happy-otter/jobs/convex-archiver:0.1.0"
    deploy_key          = "prod:happy-otter-123|secret"
    kms_key_name        = "projects/happy-otter/locations/eu/keyRings/k/cryptoKeys/archive"
    alert_emails        = ["ada@example.com"]
    readers             = ["group:data@example.com"]
    workload_identities = ["principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/*"]
    vacuum_member       = "user:ada@example.com"
  }
  assert {
    condition     = output.archive_url == "gs://happy-otter-happy-otter/convex/happy-otter"
    error_message = "The archive's URL."
  }
  assert {
    condition     = toset(keys(google_storage_bucket_iam_member.vacuum)) == toset(["read", "delete"])
    error_message = "Who deletes may also read."
  }
}
