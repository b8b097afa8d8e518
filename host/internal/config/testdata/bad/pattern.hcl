network {
  id = "Not Good"
}
plugin "index" "hnsw" {
  sha256 = "abc"
}
