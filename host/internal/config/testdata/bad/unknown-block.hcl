nodes {
  name = "a"
}
