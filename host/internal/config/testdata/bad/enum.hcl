node {
  roles = ["egde", "relay", "relay"]
}
telemetry {
  log_level = "wran"
}
