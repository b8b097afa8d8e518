package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
)

// asPlugin makes this test binary the plugin itself.
const asPlugin = "ZEROSTATE_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	options := sdktest.Options{Durable: false}
	t.Run("in process", func(t *testing.T) {
		sdktest.Embedder().Test(t, sdktest.Builtin(sdk.Embedder, plugin(), options))
	})
	t.Run("over the wire", func(t *testing.T) {
		command := func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), asPlugin+"=1")
			return cmd
		}
		sdktest.Embedder().Test(t, sdktest.Command(sdk.Embedder, command, nil, options))
	})
}
