locals {
  folder = var.prefix == "" ? "" : "${var.prefix}/"

  # What lies in an archive: see "Layout" in src/archive/FORMAT.md.
  deletable = ["log/", "parts/", "tables/", "components/"]

  # --- AWS -------------------------------------------------------------------------------------------------------------

  bucket_arn  = "arn:${var.aws_partition}:s3:::${var.bucket}"
  objects_arn = "${local.bucket_arn}/${local.folder}*"

  # S3 answers 404 for an object that is absent only to those who may list; to others it answers 403, and the first sync could not
  # tell that there is no archive yet. A GET has no `s3:prefix`, hence IfExists. The price: a listing without any prefix is allowed too.
  list = merge(
    {
      Sid      = "ListTheArchive"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = [local.bucket_arn]
    },
    var.prefix == "" ? {} : { Condition = { StringLikeIfExists = { "s3:prefix" = [var.prefix, "${local.folder}*"] } } },
  )
  read = {
    Sid      = "ReadTheArchive"
    Effect   = "Allow"
    Action   = ["s3:GetObject"]
    Resource = [local.objects_arn]
  }
  # Uploads in parts need nothing else to begin and to complete. Giving one up has an action of its own, and removes no object.
  write = {
    Sid      = "WriteTheArchive"
    Effect   = "Allow"
    Action   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    Resource = [local.objects_arn]
  }
  # Not s3:DeleteObjectVersion: in a bucket with versions a delete leaves the bytes until the lifecycle rule removes them.
  delete = {
    Sid      = "DeleteFilesOfTheArchive"
    Effect   = "Allow"
    Action   = ["s3:DeleteObject"]
    Resource = [for name in local.deletable : "${local.bucket_arn}/${local.folder}${name}*"]
  }
  # That the archive was verified.
  record = {
    Sid      = "RecordVerifications"
    Effect   = "Allow"
    Action   = ["s3:PutObject"]
    Resource = ["${local.bucket_arn}/${local.folder}runs/verified.json"]
  }
  decrypt = !var.encrypted_with_kms ? [] : [{
    Sid      = "DecryptTheArchive"
    Effect   = "Allow"
    Action   = ["kms:Decrypt"]
    Resource = [var.kms_key_arn]
  }]
  # An upload in parts decrypts, too.
  encrypt = !var.encrypted_with_kms ? [] : [{
    Sid      = "EncryptTheArchive"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = [var.kms_key_arn]
  }]

  aws_statements = {
    writer   = concat([local.list, local.read, local.write], local.encrypt)
    reader   = concat([local.list, local.read], local.decrypt)
    verifier = concat([local.list, local.read, local.record], local.encrypt)
    vacuum   = concat([local.list, local.read, local.delete], local.decrypt)
  }

  # --- Google Cloud ----------------------------------------------------------------------------------------------------

  gcs_bucket  = "projects/_/buckets/${var.bucket}"
  gcs_objects = "${local.gcs_bucket}/objects/${local.folder}"

  gcs_in_archive = "resource.name.startsWith('${local.gcs_objects}')"
  # A listing is asked of the bucket, and names its prefix in an attribute of its own.
  gcs_lists = (
    var.prefix == ""
    ? "resource.name.startsWith('${local.gcs_bucket}')"
    : "${local.gcs_in_archive} || api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('${local.folder}')"
  )
  gcs_read = {
    permissions = ["storage.objects.get", "storage.objects.list"]
    title       = "the archive"
    expression  = local.gcs_lists
  }
  gcs_write = {
    permissions = ["storage.objects.create", "storage.multipartUploads.create", "storage.multipartUploads.abort"]
    title       = "the archive"
    expression  = local.gcs_in_archive
  }
  # Google Cloud asks for the right to delete from whoever overwrites an object. Only objects that repeat what the log says are ever
  # overwritten: the first two in most runs, the lease in runs that take longer, parts and checkpoints if they are damaged. And what is remembered of runs.
  gcs_rewrite = {
    permissions = ["storage.objects.delete"]
    title       = "what repeats the log"
    expression = join(" || ", [
      "resource.name == '${local.gcs_objects}manifest.json'",
      "resource.name == '${local.gcs_objects}sentinel.json'",
      "resource.name == '${local.gcs_objects}lease.json'",
      "resource.name.startsWith('${local.gcs_objects}runs/')",
      "resource.name.startsWith('${local.gcs_objects}parts/')",
      "(resource.name.startsWith('${local.gcs_objects}log/') && resource.name.endsWith('.checkpoint.json.gz'))",
    ])
  }
  # To overwrite it is to delete it.
  gcs_record = {
    permissions = ["storage.objects.create", "storage.objects.delete"]
    title       = "verifications"
    expression  = "resource.name == '${local.gcs_objects}runs/verified.json'"
  }
  gcs_delete = {
    permissions = ["storage.objects.delete"]
    title       = "files of the archive"
    expression  = join(" || ", [for name in local.deletable : "resource.name.startsWith('${local.gcs_objects}${name}')"])
  }

  gcp_grants = {
    writer   = { read = local.gcs_read, write = local.gcs_write, rewrite = local.gcs_rewrite }
    reader   = { read = local.gcs_read }
    verifier = { read = local.gcs_read, record = local.gcs_record }
    vacuum   = { read = local.gcs_read, delete = local.gcs_delete }
  }
}
