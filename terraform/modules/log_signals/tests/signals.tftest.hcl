# terraform test, in this folder. It needs no provider.

run "filters_are_written_as_each_cloud_wants_them" {
  command = plan

  assert {
    condition     = output.signals.completed.cloudwatch == "{ ($.exit_code = 0) || ($.exit_code = 3) }"
    error_message = "CloudWatch: numbers are bare."
  }
  assert {
    condition     = output.signals.window.cloudwatch == "{ ($.condition = \"window\") || ($.condition = \"clock\") }"
    error_message = "CloudWatch: text is quoted."
  }
  assert {
    condition     = output.signals.window.cloud_logging == "(jsonPayload.condition=\"window\" OR jsonPayload.condition=\"clock\")"
    error_message = "Cloud Logging."
  }
}

run "every_exit_code_that_means_something_has_a_signal" {
  command = plan

  assert {
    condition = alltrue([
      for code in [0, 1, 2, 3, 4] : anytrue([for signal in output.signals : strcontains(signal.cloudwatch, "($.exit_code = ${code})")])
    ])
    error_message = "5 heals itself, or becomes a run that did not complete; all others have a signal."
  }
}
