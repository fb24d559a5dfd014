# No provider: this module only computes. It runs without credentials, network or plugins.
terraform {
  required_version = ">= 1.9"
}
