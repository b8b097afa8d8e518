node {
  name  = 5
  roles = "edge"
  dev   = "yes"
}
serve {
  tasks = "three"
}
