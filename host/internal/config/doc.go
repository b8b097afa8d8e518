// Package config turns an operator's HCL or YAML files, the environment and
// flags into one checked Config.
//
// Both formats are walked node by node into the same plain tree plus a map from
// path to file:line:column. koanf layers the trees (defaults < files <
// environment < flags) and does nothing else. One schema, read from the struct
// tags of Config, then checks the merged tree and reports every problem at once,
// each with its position and, where a name is misspelt, a suggestion.
//
// Start at Load, then config.go for what can be set.
package config
