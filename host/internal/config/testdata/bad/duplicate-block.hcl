plugin "index" "hnsw" {
}
plugin "index" "hnsw" {
}
