# Against a mock: nothing is created.

mock_provider "google" {}

run "plans_and_applies" {
  variables {
    project_id = "happy-otter"
    region     = "europe-north1"
    image      = "europe-north1-docker.pkg.dev/happy-otter/jobs/convex-archiver:0.1.0"
  }
  assert {
    condition     = output.archive_url == "gs://happy-otter-convex-archiver"
    error_message = "The archive's URL."
  }
}
