#!/bin/sh
# Regenerates all Go code from proto/. Every file says by its go_package where
# its code goes; zerostate.node.* becomes Connect code, files with a service
# get gRPC code, the others messages only. Needs protoc and Go, no network.
#
#   tools/proto.sh            rewrite the generated code
set -eu
cd "$(dirname "$0")/.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
(cd tools && GOBIN=$bin go install \
	google.golang.org/protobuf/cmd/protoc-gen-go \
	google.golang.org/grpc/cmd/protoc-gen-go-grpc \
	connectrpc.com/connect/cmd/protoc-gen-connect-go)
module=$(go list -m)
for file in $(cd proto && find zerostate -name '*.proto' | LC_ALL=C sort); do
	set -- --go_out=. "--go_opt=module=$module"
	case $file in
	zerostate/node/*) set -- "$@" --connect-go_out=. "--connect-go_opt=module=$module" ;;
	*)
		if grep -q '^service ' "proto/$file"; then
			set -- "$@" --go-grpc_out=. "--go-grpc_opt=module=$module"
		fi
		;;
	esac
	PATH="$bin:$PATH" protoc -I proto "$@" "proto/$file"
done
