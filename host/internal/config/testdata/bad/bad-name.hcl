use {
  index = "HNSW!"
  router = ""
}
node {
  region = "EU West"
}
agent "../x" {
  card = "c"
}
