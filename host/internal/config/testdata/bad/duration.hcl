serve {
  queue_timeout = "10"
  max_wall      = 5
}
