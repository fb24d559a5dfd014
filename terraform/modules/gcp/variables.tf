variable "project_id" {
  description = "Project of all resources."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project's id has 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of job, schedule and secret."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-north1."
  }
}

variable "name" {
  description = "Prefix of the names of all resources. One per archive in a project."
  type        = string
  default     = "convex-archiver"
  nullable    = false

  validation {
    # Service accounts have at most 30 letters, and the module adds "-scheduler".
    condition     = can(regex("^[a-z][a-z0-9-]{3,18}[a-z0-9]$", var.name))
    error_message = "A name has 5 to 20 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "labels" {
  description = "Labels of all resources that take some."
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

variable "cpu" {
  description = "vCPUs of a task: 1, 2, 4 or 8."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = contains([1, 2, 4, 8], var.cpu)
    error_message = "Cloud Run jobs have 1, 2, 4 or 8 vCPUs."
  }
}

variable "memory_mib" {
  description = "Memory of a task, MiB. Files in /tmp are memory, too."
  type        = number
  default     = 2048
  nullable    = false

  validation {
    condition     = var.memory_mib >= 512 && var.memory_mib <= 32768
    error_message = "Cloud Run jobs have 512 to 32768 MiB."
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
    error_message = "An argument looks like a deploy key. Keys go into the secret: whoever may describe the job sees its arguments."
  }
}

variable "max_duration_minutes" {
  description = "A sync ends at a commit after this time (`--max-duration`), and the next one resumes. Keep it below the schedule's interval."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.max_duration_minutes >= 1 && var.max_duration_minutes <= 1380 && var.max_duration_minutes == floor(var.max_duration_minutes)
    error_message = "1 to 1380 whole minutes: Cloud Run ends a task after a day."
  }
}

variable "program_memory_limit_mib" {
  description = "The program's own limit (`--memory-limit`), MiB. At most half of `memory_mib`, because temporary files are memory on Cloud Run."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.program_memory_limit_mib >= 64 && var.program_memory_limit_mib <= var.memory_mib / 2
    error_message = "At least 64, at most half of memory_mib."
  }
}

# --- Deploy key ------------------------------------------------------------------------------------------------------------

variable "deploy_key" {
  description = "Deploy key, passed through to the secret without entering plan or state (write-only). Null: add the value by hand, as the README shows."
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

# --- Archive -----------------------------------------------------------------------------------------------------------------

variable "bucket_name" {
  description = "Name of the new bucket. Null: PROJECT-NAME."
  type        = string
  default     = null
}

variable "bucket_location" {
  description = "Location of the bucket. Null: the region."
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

variable "kms_key_name" {
  description = "Cloud KMS key for the bucket (projects/…/cryptoKeys/…), which the project's Cloud Storage agent may use. Null: Google's own key."
  type        = string
  default     = null
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

variable "access_log_bucket" {
  description = "Bucket that takes the usage logs of the archive. Null: none are written."
  type        = string
  default     = null
}

variable "readers" {
  description = "Who else may read the archive, such as `group:data@example.com`."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.readers : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "An archive is not for everybody."
  }
}

variable "workload_identities" {
  description = "Workload identities outside of Google Cloud that may act as the reader, without a key: `principal://…` or `principalSet://…`; of GKE `serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME]`."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.workload_identities : can(regex("^(principal://|principalSet://|serviceAccount:[^\\s]+\\.svc\\.id\\.goog\\[)", member))])
    error_message = "A workload identity is principal://…, principalSet://… or serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME]."
  }
}

# --- Schedule ------------------------------------------------------------------------------------------------------------------

variable "schedule" {
  description = "When `sync` runs, as cron."
  type        = string
  default     = "7 * * * *"
  nullable    = false

  validation {
    condition     = length(split(" ", var.schedule)) == 5
    error_message = "A schedule is five fields of cron."
  }
}

variable "status_schedule" {
  description = "When `status` looks how much of the retention window is left, as cron."
  type        = string
  default     = "37 */6 * * *"
  nullable    = false

  validation {
    condition     = length(split(" ", var.status_schedule)) == 5
    error_message = "A schedule is five fields of cron."
  }
}

variable "schedule_timezone" {
  description = "Time zone of the schedules."
  type        = string
  default     = "Etc/UTC"
  nullable    = false
}

variable "schedule_paused" {
  description = "Whether the schedules pause. The alerts stay."
  type        = bool
  default     = false
  nullable    = false
}

# --- Alerts --------------------------------------------------------------------------------------------------------------------

variable "no_completed_run_hours" {
  description = "Alert if no sync has completed (exit code 0 or 3) for so many hours."
  type        = number
  default     = 6
  nullable    = false

  validation {
    condition     = var.no_completed_run_hours >= 1 && var.no_completed_run_hours <= 23 && var.no_completed_run_hours == floor(var.no_completed_run_hours)
    error_message = "1 to 23 whole hours: Cloud Monitoring looks back less than a day for what is absent."
  }
}

variable "window_left_days" {
  description = "Alert if fewer days are left until the deployment drops changes that the archive lacks. It keeps them for 14 days."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.window_left_days >= 1 && var.window_left_days <= 13 && var.window_left_days == floor(var.window_left_days)
    error_message = "1 to 13 whole days."
  }
}

variable "alert_emails" {
  description = "Addresses that get the alerts."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "notification_channels" {
  description = "Notification channels that exist already (projects/…/notificationChannels/…)."
  type        = list(string)
  default     = []
  nullable    = false
}
