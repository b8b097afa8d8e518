module github.com/zerostate/zerostate/examples

go 1.26.6

require (
	github.com/BurntSushi/toml v1.5.0
	github.com/aymanbagabas/go-udiff v0.3.1
	github.com/itchyny/gojq v0.12.18
	github.com/makiuchi-d/gozxing v0.1.1
	github.com/tdewolff/minify/v2 v2.24.0
	github.com/tetratelabs/wazero v1.12.0
	github.com/yuin/goldmark v1.7.13
	github.com/zerostate/zerostate v0.0.0
	go.yaml.in/yaml/v3 v3.0.5
	golang.org/x/image v0.33.0
	rsc.io/qr v0.2.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/gowebpki/jcs v1.0.1 // indirect
	github.com/itchyny/timefmt-go v0.1.7 // indirect
	github.com/mr-tron/base58 v1.3.0 // indirect
	github.com/stretchr/testify v1.7.2 // indirect
	github.com/tdewolff/parse/v2 v2.8.3 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	golang.org/x/xerrors v0.0.0-20200804184101-5ec99f83aff1 // indirect
)

replace github.com/zerostate/zerostate => ..
