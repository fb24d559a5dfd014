variable "bucket" {
  description = "Name of the bucket that holds the archive."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits, dots, hyphens or underscores, and begins and ends with a letter or digit."
  }
}

variable "prefix" {
  description = "Folder of the archive inside the bucket, such as `convex/happy-otter`. Empty: the archive is the whole bucket."
  type        = string
  default     = ""
  nullable    = false

  validation {
    # IAM reads `*`, `?` and `$` as patterns and variables, so that a prefix with them would grant more than its own folder.
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9._=-]+(/[A-Za-z0-9._=-]+)*$", var.prefix))
    error_message = "A prefix consists of letters, digits and . _ = -, in folders parted by single slashes; it neither begins nor ends with a slash."
  }

  validation {
    condition     = !contains(split("/", var.prefix), ".") && !contains(split("/", var.prefix), "..")
    error_message = "A prefix has no folders named . or .. ."
  }
}

variable "aws_partition" {
  description = "Partition of the ARNs."
  type        = string
  default     = "aws"
  nullable    = false

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.aws_partition)
    error_message = "The partition is aws, aws-cn or aws-us-gov."
  }
}

variable "encrypted_with_kms" {
  description = "Whether the AWS bucket is encrypted with a KMS key of your own (`kms_key_arn`). A separate input because the ARN of a new key is not known when Terraform plans."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the AWS bucket. Required with `encrypted_with_kms`."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "The key is the full ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), not of an alias."
  }

  validation {
    condition     = !var.encrypted_with_kms || var.kms_key_arn != null
    error_message = "encrypted_with_kms needs kms_key_arn."
  }
}
