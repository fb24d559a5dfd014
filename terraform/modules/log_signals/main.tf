# What the program prints with `--log-format json`, as filters. `exit_code` is a field of the last line of every sync, also of one that
# failed; `condition` is a field of the lines that `status --fail-on` prints. `terraform/check` holds the filters against real runs.
locals {
  signals = {
    completed = {
      description = "A sync ended well, with findings or without."
      field       = "exit_code"
      values      = [0, 3]
    }
    findings = {
      description = "A sync ended with findings (exit code 3): a gap, a table that is missing, a table that differs."
      field       = "exit_code"
      values      = [3]
    }
    conflict = {
      description = "Another writer was faster (exit code 4): nothing is lost, but two syncs run at once."
      field       = "exit_code"
      values      = [4]
    }
    failed = {
      description = "A sync failed in a way that the next run does not mend by itself (exit codes 1 and 2)."
      field       = "exit_code"
      values      = [1, 2]
    }
    window = {
      description = "Little is left until the deployment drops changes that the archive lacks, or a wrong clock hides how much."
      field       = "condition"
      values      = ["window", "clock"]
    }
  }
}
