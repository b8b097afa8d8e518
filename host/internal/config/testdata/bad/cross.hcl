policy {
  max_charge         = 10
  max_charge_per_day = 5
}
plugin "index" "exact" {
  fallback = "exact"
  restart {
    backoff_min = "1m"
    backoff_max = "1s"
  }
}
