plugin "indx" "hnsw" {
}
