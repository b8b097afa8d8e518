# A whole network in one node, on one machine: every role, loopback only, no
# bootstrap needed. `zerostate up --config configs/laptop.hcl`
#
# Everything here is also the default: an empty file means the same. Change one
# word under `use` to swap an implementation.

node {
  name   = "laptop"
  roles  = ["edge", "relay", "index", "bootstrap"]
  region = "local"
  home   = "~/.zerostate"
}

use {
  index      = "hnsw"   # or "exact"
  embedder   = "local"  # or "local-64": another dimension
  router     = "qlearn"
  executor   = "wasm"   # or "wasm-interp"
  payment    = "mock"   # or "builtin:fake"
  reputation = "ledger"
}

network {
  id            = "zerostate-local"
  listen        = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]
  bootstrap     = []
  mdns          = true
  allow_private = true
}

api {
  listen = "127.0.0.1:0"
}

telemetry {
  log_level  = "info"
  log_format = "text"
}

# Amounts are micros: 1000000 is one unit of the currency.
policy {
  currency           = "TEST"
  max_charge         = 1000000
  max_charge_per_day = 100000000
  deposit            = 10000000
}

# The index's own settings; `zerostate plugin inspect index-hnsw` lists them.
plugin "index" "hnsw" {
  required = true
  fallback = "exact" # serves while hnsw is down
  restart {
    backoff_min = "200ms"
    backoff_max = "30s"
    crash_loop  = 5
    window      = "1m"
  }
  limits {
    memory = "2GiB"
    files  = 1024
  }
}

# Other names for the same binaries, with other settings.
plugin "executor" "wasm-interp" {
  path = "executor-wasm"
  config {
    engine = "interpreter"
  }
}

plugin "embedder" "local-64" {
  path = "embedder-local"
  config {
    dimensions = 64
  }
}
