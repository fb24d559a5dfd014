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
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
}

run "plans_and_applies" {
  variables {
    region               = "eu-north-1"
    image                = "123456789012.dkr.ecr.eu-north-1.amazonaws.com/convex-archiver:0.1.0"
    vpc_id               = "vpc-1"
    private_subnet_ids   = ["subnet-1", "subnet-2"]
    deploy_key           = "prod:happy-otter-123|secret"
    alarm_emails         = ["ada@example.com"]
    access_log_bucket    = "logs"
    vacuum_principal_arn = "arn:aws:iam::123456789012:user/ada"
  }
  assert {
    condition     = output.archive_url == "s3://happy-otter-123456789012-eu-north-1/convex/happy-otter"
    error_message = "The archive's URL."
  }
  assert {
    condition     = aws_iam_role_policy.vacuum.policy == module.convex_archive.vacuum_policy_json
    error_message = "Who deletes has that right and no other."
  }
}
