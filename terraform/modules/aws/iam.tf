locals {
  cluster_arn = var.cluster_arn != null ? var.cluster_arn : aws_ecs_cluster.this[0].arn

  tasks_assume = {
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  }
  scheduler_assume = {
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  }

  # What ECS itself needs to start a task: the image, the log, the secret. The program never has these rights.
  execution_policy = {
    Version = "2012-10-17"
    Statement = concat([
      {
        # This call knows no resource.
        Sid      = "LogInToTheRegistry"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Sid      = "PullTheImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = ["arn:${local.partition}:ecr:*:*:repository/*"]
      },
      {
        Sid      = "WriteTheLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.this.arn}:log-stream:*"]
      },
      {
        Sid      = "ReadTheDeployKey"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [local.secret_arn]
      },
      {
        Sid      = "DecryptTheDeployKey"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = concat([local.kms_key_arn], var.deploy_key_secret_kms_key_arn == null ? [] : [var.deploy_key_secret_kms_key_arn])
      },
    ])
  }

  scheduler_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunTheTasks"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = [for task in aws_ecs_task_definition.this : "${task.arn_without_revision}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        Sid       = "HandTheTasksTheirRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.execution.arn, aws_iam_role.writer.arn, aws_iam_role.reader.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "KeepWhatCouldNotBeStarted"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.dead_letters.arn]
      },
    ]
  }
}

resource "aws_iam_role" "execution" {
  name                 = "${var.name}-execution"
  description          = "Starts the tasks of ${var.name}"
  assume_role_policy   = jsonencode(local.tasks_assume)
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = jsonencode(local.execution_policy)
}

resource "aws_iam_role" "writer" {
  name                 = "${var.name}-writer"
  description          = "sync of ${var.name}: reads and writes the archive, deletes nothing"
  assume_role_policy   = jsonencode(local.tasks_assume)
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "writer" {
  name   = "archive"
  role   = aws_iam_role.writer.id
  policy = module.archive_policy.aws_writer_policy_json
}

resource "aws_iam_role" "reader" {
  name                 = "${var.name}-reader"
  description          = "status of ${var.name}: reads the archive"
  assume_role_policy   = jsonencode(local.tasks_assume)
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "reader" {
  name   = "archive"
  role   = aws_iam_role.reader.id
  policy = module.archive_policy.aws_reader_policy_json
}

resource "aws_iam_role" "scheduler" {
  name                 = "${var.name}-scheduler"
  description          = "Runs the tasks of ${var.name} on time"
  assume_role_policy   = jsonencode(local.scheduler_assume)
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "run"
  role   = aws_iam_role.scheduler.id
  policy = jsonencode(local.scheduler_policy)
}
