# A node that sells: it publishes agents, runs tasks of others and is paid.
# It joins a network through the two bootstrap addresses below.

node {
  name                = "provider-1"
  roles               = ["edge"]
  region              = "eu-west"
  home                = "~/.zerostate"
  require_confinement = true # no plugin runs that the kernel can not confine
}

# One block per agent: its card's source and its task manifest.
agent "markdown" {
  card     = "agents/markdown/card.yaml"
  manifest = "agents/markdown/task.yaml"
}

serve {
  tasks          = 8
  queue          = 512
  queue_timeout  = "10s"
  tasks_per_peer = 64
  max_input      = "256MiB"
  max_wall       = "2m"
  min_deposit    = 1000000
}

network {
  id     = "zerostate-main"
  listen = ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"]
  bootstrap = [
    "/dns4/bootstrap-1.example.org/tcp/4001/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
    "/dns4/bootstrap-2.example.org/tcp/4001/p2p/12D3KooWHdiAxVd8uMQR1hGWXccidmfCwLqcMpGwR6QcTP6QRMuD",
  ]
  mdns          = false
  allow_private = false
  limits {
    connections = 600
    memory      = "2GiB"
  }
}

api {
  listen = "127.0.0.1:7420"
}

telemetry {
  otlp_endpoint = "127.0.0.1:4317"
  log_format    = "json"
}

policy {
  min_reputation = 0.2
  deposit        = 10000000
}

plugin "executor" "wasm" {
  required = true
  limits {
    memory = "4GiB"
    files  = 4096
  }
}
