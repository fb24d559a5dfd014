output "signals" {
  description = "By name (`completed`, `findings`, `conflict`, `failed`, `window`): `description`; `cloudwatch`, the pattern of a metric filter; `cloud_logging`, a filter without the resource."
  value = {
    for name, signal in local.signals : name => {
      description   = signal.description
      cloudwatch    = "{ ${join(" || ", [for value in signal.values : "($.${signal.field} = ${jsonencode(value)})"])} }"
      cloud_logging = "(${join(" OR ", [for value in signal.values : "jsonPayload.${signal.field}=${jsonencode(value)}"])})"
    }
  }
}
