variable "name" {
  description = "Prefix of the names of all resources. One per archive in an account and region."
  type        = string
  default     = "convex-archiver"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "A name has 3 to 40 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
  nullable    = false
}

# --- The program ---------------------------------------------------------------------------------------------------------

variable "image" {
  description = "Container image with the program, with a tag or, better, a digest. No public registry has one: the README says how to push yours."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^\\s:@]+(:[0-9]+/[^\\s:@]+)?(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$", var.image))
    error_message = "The image has a tag or a digest: REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST."
  }
}

variable "entry_point" {
  description = "Command in front of the program's arguments. Null: the image's own entry point, which must be the program."
  type        = list(string)
  default     = null
}

variable "cpu_architecture" {
  description = "Architecture of the image: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
  nullable    = false

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "The architecture is X86_64 or ARM64."
  }
}

variable "cpu" {
  description = "CPU units of a task (1024 are one vCPU)."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "Fargate has tasks of 256, 512, 1024, 2048 or 4096 CPU units."
  }
}

variable "memory_mib" {
  description = "Memory of a task, MiB. Fargate allows two to eight times the vCPUs in GiB (512 to 2048 at 256 CPU units)."
  type        = number
  default     = 1024
  nullable    = false

  validation {
    condition = var.memory_mib == floor(var.memory_mib) && (
      var.cpu == 256 ? contains([512, 1024, 2048], var.memory_mib) :
      var.memory_mib % 1024 == 0 && var.memory_mib >= 2 * var.cpu && var.memory_mib <= 8 * var.cpu
    )
    error_message = "Fargate does not have this much memory with this many CPU units."
  }
}

variable "ephemeral_storage_gib" {
  description = "Disk of a task, GiB, for pages of large documents."
  type        = number
  default     = 21
  nullable    = false

  validation {
    condition     = var.ephemeral_storage_gib >= 21 && var.ephemeral_storage_gib <= 200
    error_message = "Fargate has 21 to 200 GiB."
  }
}

variable "deployment_url" {
  description = "URL of the deployment (`--deployment`). Null: Convex is asked whose key it is. Required for a deployment of your own."
  type        = string
  default     = null

  validation {
    condition     = var.deployment_url == null || can(regex("^https?://[^\\s/]+/?$", var.deployment_url))
    error_message = "A deployment's URL begins with https:// (or http://) and has no path."
  }
}

variable "sync_arguments" {
  description = "Further arguments of `sync`, such as [\"--exclude\", \"log_*\"]. Never a key."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for argument in var.sync_arguments : !strcontains(argument, "|")])
    error_message = "An argument looks like a deploy key. Keys go into the secret: whoever may describe the task sees its arguments."
  }
}

variable "max_duration_minutes" {
  description = "A sync ends at a commit after this time (`--max-duration`), and the next one resumes. Keep it below the schedule's interval."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.max_duration_minutes >= 1 && var.max_duration_minutes == floor(var.max_duration_minutes)
    error_message = "A whole number of minutes, at least 1."
  }
}

variable "program_memory_limit_mib" {
  description = "The program's own limit (`--memory-limit`), MiB. At most three quarters of `memory_mib`."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.program_memory_limit_mib >= 64 && var.program_memory_limit_mib <= var.memory_mib * 3 / 4
    error_message = "At least 64, at most three quarters of memory_mib."
  }
}

# --- Deploy key ------------------------------------------------------------------------------------------------------------

variable "deploy_key" {
  description = "Deploy key, passed through to the secret without entering plan or state (write-only). Null: put the value by hand, as the README shows."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "deploy_key_version" {
  description = "Raise it by one to write `deploy_key` again. Null: Terraform never writes the secret's value."
  type        = number
  default     = null
}

variable "deploy_key_secret_arn" {
  description = "ARN of a secret that exists already and holds the deploy key as its whole text. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.deploy_key_secret_arn == null || can(regex("^arn:[a-z-]+:secretsmanager:", var.deploy_key_secret_arn))
    error_message = "The ARN of a secret begins with arn:aws:secretsmanager:."
  }

  validation {
    condition     = var.deploy_key_secret_arn == null || var.deploy_key_version == null
    error_message = "The module writes only its own secret: leave out deploy_key_version or deploy_key_secret_arn."
  }
}

variable "deploy_key_secret_kms_key_arn" {
  description = "KMS key of the secret `deploy_key_secret_arn`, if it has one of its own."
  type        = string
  default     = null
}

# --- Archive -----------------------------------------------------------------------------------------------------------------

variable "bucket_name" {
  description = "Name of the new bucket. Null: NAME-ACCOUNT-REGION."
  type        = string
  default     = null
}

variable "prefix" {
  description = "Folder of the archive inside the bucket."
  type        = string
  default     = ""
  nullable    = false
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes the archive with its bucket."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "KMS key for bucket, secret, logs and alarms. Null: the module makes one. A key of yours must let CloudWatch Logs, CloudWatch and EventBridge use it, as kms.tf does."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "The key is the full ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), not of an alias."
  }
}

variable "noncurrent_version_days" {
  description = "Days that earlier versions of an object, and deleted objects, are kept. No rule ever touches the newest version."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.noncurrent_version_days >= 1
    error_message = "At least one day."
  }
}

variable "unfinished_upload_days" {
  description = "Days after which what a killed run left of an upload in parts is removed."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.unfinished_upload_days >= 1
    error_message = "At least one day."
  }
}

variable "object_lock" {
  description = "Object Lock: for so many days nobody can remove a version of an object. `COMPLIANCE` binds the account's root too, and defeats every erasure. Only for a new bucket."
  type = object({
    mode = optional(string, "GOVERNANCE")
    days = number
  })
  default = null

  validation {
    condition     = var.object_lock == null || try(contains(["GOVERNANCE", "COMPLIANCE"], var.object_lock.mode) && var.object_lock.days >= 1, false)
    error_message = "The mode is GOVERNANCE or COMPLIANCE, and there is at least one day."
  }
}

variable "access_log_bucket" {
  description = "Bucket that takes the S3 access logs of the archive. Null: none are written."
  type        = string
  default     = null
}

# --- Schedule and network ----------------------------------------------------------------------------------------------------

variable "schedule_expression" {
  description = "When `sync` runs: rate(…) or cron(…)."
  type        = string
  default     = "rate(1 hour)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.schedule_expression))
    error_message = "A schedule is rate(…) or cron(…)."
  }
}

variable "status_schedule_expression" {
  description = "When `status` looks how much of the retention window is left: rate(…) or cron(…)."
  type        = string
  default     = "rate(6 hours)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.status_schedule_expression))
    error_message = "A schedule is rate(…) or cron(…)."
  }
}

variable "schedule_timezone" {
  description = "Time zone of cron(…) expressions."
  type        = string
  default     = "UTC"
  nullable    = false
}

variable "schedule_enabled" {
  description = "Whether the schedules run. The alarms stay."
  type        = bool
  default     = true
  nullable    = false
}

variable "cluster_arn" {
  description = "ECS cluster to run in. Null: the module makes one."
  type        = string
  default     = null
}

variable "vpc_id" {
  description = "VPC of the tasks."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Subnets of the tasks, with a way to the internet (NAT gateway, or `assign_public_ip` in a public subnet)."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "At least one subnet."
  }
}

variable "assign_public_ip" {
  description = "Whether tasks get a public address: for public subnets without a NAT gateway. Nothing can connect to them in either case."
  type        = bool
  default     = false
  nullable    = false
}

variable "egress_ports" {
  description = "TCP ports that tasks may connect to. Add that of a deployment of your own."
  type        = set(number)
  default     = [443]
  nullable    = false

  validation {
    condition     = alltrue([for port in var.egress_ports : port >= 1 && port <= 65535])
    error_message = "Ports lie between 1 and 65535."
  }
}

# --- Alarms --------------------------------------------------------------------------------------------------------------------

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch Logs knows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 and 3653 days."
  }
}

variable "no_completed_run_hours" {
  description = "Alarm if no sync has completed (exit code 0 or 3) for so many hours."
  type        = number
  default     = 6
  nullable    = false

  validation {
    condition     = var.no_completed_run_hours >= 1 && var.no_completed_run_hours <= 168 && var.no_completed_run_hours == floor(var.no_completed_run_hours)
    error_message = "1 to 168 whole hours: CloudWatch looks back a week."
  }
}

variable "window_left_days" {
  description = "Alarm if fewer days are left until the deployment drops changes that the archive lacks. It keeps them for 14 days."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.window_left_days >= 1 && var.window_left_days <= 13 && var.window_left_days == floor(var.window_left_days)
    error_message = "1 to 13 whole days."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that takes the alarms. Null: the module makes one. Yours must let CloudWatch and EventBridge publish."
  type        = string
  default     = null
}

variable "alarm_emails" {
  description = "Addresses that subscribe to the module's topic. Each has to confirm a mail."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.alarm_emails) == 0 || var.alarm_topic_arn == null
    error_message = "Addresses subscribe to the module's own topic: leave out alarm_topic_arn."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of all roles."
  type        = string
  default     = null
}
