// Standin takes the place of a program whose image no registry serves here. It checks at start what the program would
// check, answers the probes that the program would answer, and says in its log and in every response that it is not it.
//
//	standin --as=ROLE -- <the container's own arguments>
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	name := flag.String("as", "", "the program to stand in for; one that is not known just waits")
	flag.Parse()
	if *name == "" {
		log.Fatal("standin: --as=ROLE is missing")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *name, flag.Args()); err != nil {
		log.Fatalf("error: %v", err)
	}
}

// run stands in for the named program until ctx ends.
func run(ctx context.Context, name string, argv args) error {
	log.Printf("this is a stand-in for %s, not the real program", name)
	servers, err := start(name, argv)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	failed := make(chan error, len(servers))
	for _, server := range servers {
		log.Printf("listening on %s", server.listener.Addr())
		go func() { failed <- server.serve() }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("%s: %w", name, err)
	}
}

// start does what the program does before it serves: a file that is missing or a folder it may not write to is an error.
func start(name string, argv args) ([]*server, error) {
	role, known := map[string]func(args) ([]endpoint, error){
		"alloy":              alloy,
		"grafana":            grafana,
		"kube-state-metrics": kubeStateMetrics,
		"loki":               loki,
		"prometheus":         prometheus,
		"prometheus-adapter": prometheusAdapter,
	}[name]
	if !known {
		return nil, nil
	}
	endpoints, err := role(argv)
	if err != nil {
		return nil, err
	}
	var servers []*server
	for _, endpoint := range endpoints {
		server, err := listen(name, endpoint)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// args are a container's arguments.
type args []string

// value is what the last -name=… or --name=… says, or else fallback.
func (a args) value(name, fallback string) string {
	for _, arg := range a {
		if value, found := strings.CutPrefix(strings.TrimLeft(arg, "-"), name+"="); found && strings.HasPrefix(arg, "-") {
			fallback = value
		}
	}
	return fallback
}

// operands are the arguments that are no flags.
func (a args) operands() []string {
	var operands []string
	for _, arg := range a {
		if !strings.HasPrefix(arg, "-") {
			operands = append(operands, arg)
		}
	}
	return operands
}
