# Against a mock: nothing is created.

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
  mock_data "aws_subnets" {
    defaults = { ids = ["subnet-1", "subnet-2"] }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
}

run "plans_and_applies" {
  variables {
    region = "eu-north-1"
    image  = "123456789012.dkr.ecr.eu-north-1.amazonaws.com/convex-archiver:0.1.0"
  }
  assert {
    condition     = output.archive_url == "s3://convex-archiver-123456789012-eu-north-1"
    error_message = "The archive's URL."
  }
}
