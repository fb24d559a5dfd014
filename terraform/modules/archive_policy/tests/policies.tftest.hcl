# terraform test, in this folder. It needs no provider.

variables {
  bucket = "lake"
  prefix = "convex/happy-otter"
}

run "the_writer_cannot_delete_and_stays_in_its_folder" {
  command = plan

  assert {
    condition = toset(flatten([for s in jsondecode(output.aws_writer_policy_json).Statement : s.Action])) == toset(
      ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    )
    error_message = "The writer lists, reads, writes and gives up uploads, and nothing else."
  }
  assert {
    condition = alltrue([
      for s in jsondecode(output.aws_writer_policy_json).Statement :
      s.Resource == (s.Sid == "ListTheArchive" ? ["arn:aws:s3:::lake"] : ["arn:aws:s3:::lake/convex/happy-otter/*"])
    ])
    error_message = "The writer's objects lie below the prefix."
  }
  assert {
    condition     = jsondecode(output.aws_writer_policy_json).Statement[0].Condition.StringLikeIfExists["s3:prefix"] == ["convex/happy-otter", "convex/happy-otter/*"]
    error_message = "The writer lists below the prefix."
  }
  assert {
    condition     = output.archive_urls == { aws = "s3://lake/convex/happy-otter", gcp = "gs://lake/convex/happy-otter" }
    error_message = "The URLs name bucket and prefix."
  }
}

run "readers_only_read_and_verifiers_write_one_object" {
  command = plan

  assert {
    condition = alltrue([
      for policy in [output.aws_reader_policy_json, output.aws_verifier_policy_json] :
      toset(flatten([for s in jsondecode(policy).Statement : s.Action if s.Sid != "RecordVerifications"])) == toset(["s3:ListBucket", "s3:GetObject"])
    ])
    error_message = "Who reads lists and gets."
  }
  assert {
    condition = [
      for s in jsondecode(output.aws_verifier_policy_json).Statement : [s.Action, s.Resource] if s.Sid == "RecordVerifications"
    ] == [[["s3:PutObject"], ["arn:aws:s3:::lake/convex/happy-otter/runs/verified.json"]]]
    error_message = "The verifier writes runs/verified.json and nothing else."
  }
}

run "vacuum_deletes_files_and_nothing_that_makes_the_archive_one" {
  command = plan

  assert {
    condition = [for s in jsondecode(output.aws_vacuum_policy_json).Statement : s.Resource if contains(s.Action, "s3:DeleteObject")] == [[
      "arn:aws:s3:::lake/convex/happy-otter/log/*",
      "arn:aws:s3:::lake/convex/happy-otter/parts/*",
      "arn:aws:s3:::lake/convex/happy-otter/tables/*",
      "arn:aws:s3:::lake/convex/happy-otter/components/*",
    ]]
    error_message = "archive.json, manifest.json and reserved names cannot be deleted."
  }
  assert {
    condition = length(setintersection(
      flatten([for s in jsondecode(output.aws_vacuum_policy_json).Statement : s.Action]),
      ["s3:PutObject", "s3:DeleteObjectVersion", "s3:*"],
    )) == 0
    error_message = "Who deletes cannot write, and cannot remove earlier versions."
  }
}

run "a_key_is_used_by_all_and_encrypts_for_those_who_write" {
  command = plan

  variables {
    encrypted_with_kms = true
    kms_key_arn        = "arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = {
      for who, policy in {
        writer   = output.aws_writer_policy_json
        reader   = output.aws_reader_policy_json
        verifier = output.aws_verifier_policy_json
        vacuum   = output.aws_vacuum_policy_json
      } : who => flatten([for s in jsondecode(policy).Statement : s.Action if s.Resource == [var.kms_key_arn]])
      } == {
      writer   = ["kms:Decrypt", "kms:GenerateDataKey"]
      reader   = ["kms:Decrypt"]
      verifier = ["kms:Decrypt", "kms:GenerateDataKey"]
      vacuum   = ["kms:Decrypt"]
    }
    error_message = "Only who writes encrypts."
  }
}

run "an_archive_that_is_the_whole_bucket_has_no_condition" {
  command = plan

  variables {
    prefix        = ""
    aws_partition = "aws-cn"
  }

  assert {
    condition     = output.archive_urls.aws == "s3://lake" && jsondecode(output.aws_reader_policy_json).Statement[1].Resource == ["arn:aws-cn:s3:::lake/*"]
    error_message = "Without a prefix it is the whole bucket."
  }
  assert {
    condition     = !can(jsondecode(output.aws_reader_policy_json).Statement[0].Condition)
    error_message = "Without a prefix everything is listed."
  }
  assert {
    condition     = output.gcp_grants.reader.read.expression == "resource.name.startsWith('projects/_/buckets/lake')"
    error_message = "A listing is asked of the bucket itself."
  }
}

run "on_google_cloud_the_writer_deletes_what_it_overwrites_and_nothing_else" {
  command = plan

  assert {
    condition = [for name, grant in output.gcp_grants.writer : grant.expression if contains(grant.permissions, "storage.objects.delete")] == [
      join(" || ", [
        "resource.name == 'projects/_/buckets/lake/objects/convex/happy-otter/manifest.json'",
        "resource.name == 'projects/_/buckets/lake/objects/convex/happy-otter/sentinel.json'",
        "resource.name == 'projects/_/buckets/lake/objects/convex/happy-otter/lease.json'",
        "resource.name.startsWith('projects/_/buckets/lake/objects/convex/happy-otter/runs/')",
        "resource.name.startsWith('projects/_/buckets/lake/objects/convex/happy-otter/parts/')",
        "(resource.name.startsWith('projects/_/buckets/lake/objects/convex/happy-otter/log/') && resource.name.endsWith('.checkpoint.json.gz'))",
      ])
    ]
    error_message = "Overwriting needs the right to delete on Google Cloud: only for what repeats the log."
  }
  assert {
    condition = alltrue([
      for who in ["reader", "verifier"] :
      toset(flatten([for name, grant in output.gcp_grants[who] : grant.permissions if name != "record"])) == toset(["storage.objects.get", "storage.objects.list"])
    ])
    error_message = "Who reads lists and gets."
  }
  assert {
    condition     = output.gcp_grants.verifier.record.expression == "resource.name == 'projects/_/buckets/lake/objects/convex/happy-otter/runs/verified.json'"
    error_message = "The verifier writes runs/verified.json and nothing else."
  }
  assert {
    condition     = length(setintersection(flatten([for grant in output.gcp_grants.vacuum : grant.permissions]), ["storage.objects.create"])) == 0
    error_message = "Who deletes cannot write."
  }
}

run "a_prefix_with_a_pattern_is_refused" {
  command = plan
  variables {
    prefix = "convex/*"
  }
  expect_failures = [var.prefix]
}

run "a_prefix_with_a_variable_is_refused" {
  command = plan
  variables {
    prefix = "$${aws:username}"
  }
  expect_failures = [var.prefix]
}

run "a_prefix_that_ends_with_a_slash_is_refused" {
  command = plan
  variables {
    prefix = "convex/"
  }
  expect_failures = [var.prefix]
}

run "a_prefix_that_climbs_is_refused" {
  command = plan
  variables {
    prefix = "convex/../other"
  }
  expect_failures = [var.prefix]
}

run "a_url_is_no_bucket" {
  command = plan
  variables {
    bucket = "s3://lake"
  }
  expect_failures = [var.bucket]
}

run "an_alias_is_no_key" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:eu-north-1:123456789012:alias/lake"
  }
  expect_failures = [var.kms_key_arn]
}

run "a_key_that_is_not_named_is_refused" {
  command = plan
  variables {
    encrypted_with_kms = true
  }
  expect_failures = [var.kms_key_arn]
}
