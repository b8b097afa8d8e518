serve {
  tasks = 0
}
policy {
  min_reputation = 1.5
  guild_ttl      = "1500ms"
  challenge_window = "1ms"
}
plugin "index" "hnsw" {
  limits {
    memory = "1KiB"
  }
}
