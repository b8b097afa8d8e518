node {
  name = "a"
