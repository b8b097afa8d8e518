network {
  listen    = ["127.0.0.1:4001"]
  bootstrap = ["/ip4/192.0.2.1/tcp/4001"]
}
api {
  listen = "0.0.0.0:80"
}
serve {
  deny = ["bob"]
}
