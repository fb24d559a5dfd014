locals {
  tasks = {
    sync = {
      role = aws_iam_role.writer.arn
      # Not -q: then a run that went well would not log its last line, on which the alarms rest.
      arguments = concat(
        ["--log-format", "json", "sync", "--archive", module.archive_policy.archive_urls.aws],
        ["--max-duration", "${var.max_duration_minutes}m", "--memory-limit", "${var.program_memory_limit_mib}MiB"],
        var.deployment_url == null ? [] : ["--deployment", var.deployment_url],
        var.sync_arguments,
      )
      secrets  = [{ name = "CONVEX_DEPLOY_KEY", valueFrom = local.secret_arn }]
      schedule = var.schedule_expression
    }
    # It needs no key, and may not write.
    status = {
      role = aws_iam_role.reader.arn
      arguments = [
        "--log-format", "json", "status", "--archive", module.archive_policy.archive_urls.aws, "--fail-on", "window=${var.window_left_days}d",
      ]
      secrets  = []
      schedule = var.status_schedule_expression
    }
  }
}

resource "aws_ecs_cluster" "this" {
  count = var.cluster_arn == null ? 1 : 0

  name = var.name
  tags = var.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  #checkov:skip=CKV_AWS_336:Pages of large documents go to files in /tmp, and a volume on Fargate belongs to root, not to the image's user.
  for_each = local.tasks

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.cpu)
  memory                   = tostring(var.memory_mib)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = each.value.role
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  ephemeral_storage {
    size_in_gib = var.ephemeral_storage_gib
  }

  container_definitions = jsonencode([merge(
    {
      name        = each.key
      image       = var.image
      essential   = true
      command     = each.value.arguments
      environment = [{ name = "AWS_REGION", value = local.region }]
      secrets     = each.value.secrets
      # After SIGTERM the program ends at a commit.
      stopTimeout = 120
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this.name
          awslogs-region        = local.region
          awslogs-stream-prefix = "run"
        }
      }
    },
    var.entry_point == null ? {} : { entryPoint = var.entry_point },
  )])
}

# Out only: nothing listens in a task.
resource "aws_security_group" "tasks" {
  #checkov:skip=CKV2_AWS_5:It is attached to the tasks by the scheduler's network_configuration, which the rule does not follow.
  name        = "${var.name}-tasks"
  description = "Tasks of ${var.name}: connections out only"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "ipv4" {
  for_each = { for port in var.egress_ports : tostring(port) => port }

  security_group_id = aws_security_group.tasks.id
  description       = "To Convex, S3 and the registry"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  cidr_ipv4         = "0.0.0.0/0"
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "ipv6" {
  for_each = { for port in var.egress_ports : tostring(port) => port }

  security_group_id = aws_security_group.tasks.id
  description       = "To Convex, S3 and the registry"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  cidr_ipv6         = "::/0"
  tags              = var.tags
}
