package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Builtin runs a plugin inside this process, through the same codec, errors
// and limits as a process of its own, over a connection in memory. It works
// inside testing/synctest. log may be nil; now is the clock that the plugin
// gets, nil for the real one. The plugin is not configured yet.
func (k Kind[T]) Builtin(ctx context.Context, p Plugin[T], log hclog.Logger, now func() time.Time) (*Client[T], error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	if now == nil {
		now = time.Now
	}
	inst := newInstance(k, p, log.Named(p.Name), now)
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(serverOptions(inst, inst.log)...)
	inst.register(server)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			log.Error("serve builtin plugin", "plugin", p.Name, "error", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///builtin", append(dialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	)...)
	if err != nil {
		server.Stop()
		return nil, fmt.Errorf("open builtin plugin %s: %w", p.Name, err)
	}
	exited := make(chan struct{})
	end := sync.OnceValue(func() error {
		defer close(exited)
		err := conn.Close()
		server.Stop()
		serving.Wait()
		return errors.Join(err, inst.close())
	})
	c := &Client[T]{exited: exited, stopTimeout: 3 * time.Second, kill: end}
	if err := c.attach(ctx, k, conn); err != nil {
		return nil, errors.Join(err, end())
	}
	return c, nil
}
