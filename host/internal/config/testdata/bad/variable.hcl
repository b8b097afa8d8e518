node {
  name = hostname
  region = upper("x")
  home = "${x}"
}
