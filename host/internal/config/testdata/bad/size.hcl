serve {
  max_input = "256MB"
}
network {
  limits {
    memory = -5
  }
}
