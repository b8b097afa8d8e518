node {
  name = null
}
