package sdktest

import (
	"context"
	"io"

	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// FakePrograms are the guests of the executor's suite for fake.NewExecutor.
func FakePrograms() map[string]fake.Program {
	write := func(p *fake.Process) error {
		_, err := io.WriteString(p.Stdout(), greeting)
		return err
	}
	return map[string]fake.Program{
		sha(guestHello): func(_ context.Context, p *fake.Process) int {
			if write(p) != nil {
				return 1
			}
			return 0
		},
		sha(guestExit3): func(context.Context, *fake.Process) int { return 3 },
		sha(guestTrap):  func(context.Context, *fake.Process) int { panic("unreachable") },
		sha(guestLoop): func(ctx context.Context, _ *fake.Process) int {
			<-ctx.Done()
			return 1
		},
		sha(guestNoise): func(_ context.Context, p *fake.Process) int {
			for write(p) == nil {
			}
			return 1
		},
	}
}
