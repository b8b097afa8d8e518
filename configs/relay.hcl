# A relay: it carries circuits and task messages for nodes that can not reach
# each other. List it in the others' network.backbone, in the order in which
# the static path should try.

node {
  name   = "relay-1"
  roles  = ["relay", "bootstrap"]
  region = "eu-west"
}

network {
  id            = "zerostate-main"
  listen        = ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"]
  announce      = ["/dns4/relay-1.example.org/tcp/4001"]
  mdns          = false
  allow_private = false
  relay {
    reservations = 1024
    duration     = "10m"
    data         = "512MiB"
  }
  limits {
    connections = 3000
  }
}

api {
  listen = "127.0.0.1:7420"
}

telemetry {
  log_format = "json"
}
