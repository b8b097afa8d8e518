node = "x"
plugin "index" {
  hnsw = 3
}
