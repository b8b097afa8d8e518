# An index node: it holds the cards of its regions as vectors and answers find.

node {
  name   = "index-1"
  roles  = ["index"]
  region = "eu-west"
}

use {
  index    = "hnsw"
  embedder = "local" # every index node of a region needs the same model digest
}

index {
  regions            = ["eu-west", "eu-north"]
  reconcile_interval = "1m"
}

network {
  id            = "zerostate-main"
  listen        = ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"]
  bootstrap     = ["/dns4/bootstrap-1.example.org/tcp/4001/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"]
  mdns          = false
  allow_private = false
}

plugin "index" "hnsw" {
  required = true
  fallback = "exact"
  limits {
    memory = "4GiB"
  }
  config {
    m         = 16
    ef_search = 64
  }
}

plugin "index" "exact" {
  required = false
}
