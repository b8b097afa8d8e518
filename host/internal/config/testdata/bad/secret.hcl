node {
  name = { from_env = "NAME" }
}
