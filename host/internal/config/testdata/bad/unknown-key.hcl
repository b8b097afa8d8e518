plugin "index" "hnsw" {
  pth = "x"
}
