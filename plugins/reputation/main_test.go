package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
)

// TestMain is the plugin where a host, here a test, starts this binary as one.
func TestMain(m *testing.M) {
	if os.Getenv(sdk.CookieKey) == sdk.CookieValue {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestConformanceInProcess(t *testing.T) {
	sdktest.Reputation().Test(t, sdktest.Builtin(sdk.Reputation, plugin(), sdktest.Options{Durable: true}))
}

func TestConformanceOverTheWire(t *testing.T) {
	command := func() *exec.Cmd { return exec.Command(os.Args[0]) }
	sdktest.Reputation().Test(t, sdktest.Command(sdk.Reputation, command, nil, sdktest.Options{Durable: true}))
}
