package sdk_test

import (
	"context"
	"fmt"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// A plugin runs inside the process, through the same codec as a process of its
// own: open, configure, call.
func ExampleKind_Builtin() {
	ctx := context.Background()
	client, err := sdk.Embedder.Builtin(ctx, fake.EmbedderPlugin(), nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Base().Configure(ctx, sdk.Configuration{}); err != nil {
		fmt.Println(err)
		return
	}
	out, err := client.Impl().Embed(ctx, core.EmbedRequest{Texts: []string{"markdown to html"}})
	fmt.Println(client.Info().Name, len(out.Vectors), out.Model.Dimensions, err)
	fmt.Println(client.Close())
	// Output:
	// fake 1 128 <nil>
	// <nil>
}

// A schema comes from the tags of a struct; Decode reports every problem at once.
func ExampleDecode() {
	type config struct {
		M  int    `zs:"m" default:"16" range:"2..64" doc:"links of a node"`
		By string `zs:"by" default:"cosine" enum:"cosine|dot"`
	}
	_, err := sdk.Decode(&config{}, map[string]any{"m": 100, "bye": "cosine"})
	fmt.Println(err)
	// Output:
	// m: want at most 64, got 100; bye: unknown setting; did you mean "by"?
}
