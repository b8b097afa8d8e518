agent "md" {
  manifest = "task.yaml"
}
