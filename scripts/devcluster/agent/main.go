// Agent stands in for Alloy, which cannot be built here, and does its work: it reads Alloy's configuration and has a real
// Prometheus in agent mode scrape and send, a real node_exporter read the node, and a tailer of its own send the logs.
// What it does not know of the configuration is an error. Unlike Alloy's, its prometheus.relabel leaves `up` and scrape_*
// alone, for so does Prometheus.
//
//	agent run [--server.http.listen-addr=…] [--storage.path=…] [--disable-reporting] FILE
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Where the image has the programs.
const (
	prometheusProgram = "/bin/prometheus"
	exporterProgram   = "/bin/node_exporter"
)

func main() {
	level := promslog.NewLevel()
	logger := promslog.New(&promslog.Config{Style: promslog.GoKitStyle, Level: level})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], level, logger); err != nil {
		logger.Error("the stand-in for Alloy ends", "err", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	listen, storage, config string
}

func parse(arguments []string) (options, error) {
	if len(arguments) == 0 || arguments[0] != "run" {
		return options{}, errors.New("usage: run [flags] FILE")
	}
	var options options
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&options.listen, "server.http.listen-addr", "127.0.0.1:12345", "where to listen")
	flags.StringVar(&options.storage, "storage.path", "data-alloy", "where to write")
	flags.Bool("disable-reporting", true, "nothing is ever reported")
	if err := flags.Parse(arguments[1:]); err != nil {
		return options, err
	}
	if flags.NArg() != 1 {
		return options, errors.New("usage: run [flags] FILE")
	}
	options.config = flags.Arg(0)
	return options, nil
}

// run does what the configuration says until ctx ends or one of its parts does.
func run(ctx context.Context, arguments []string, level *promslog.Level, logger *slog.Logger) error {
	logger.Info("this is a stand-in for Alloy, made of a real Prometheus in agent mode, a real node_exporter and a tailer")
	options, err := parse(arguments)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(options.config)
	if err != nil {
		return err
	}
	plan, err := load(options.config, text)
	if err != nil {
		return err
	}
	if err := level.Set(plan.logging.Level); err != nil {
		return err
	}
	children, err := plan.children(options.storage)
	if err != nil {
		return err
	}
	registry := prom.NewRegistry()
	tasks, err := plan.followLogs(options.storage, registry, logger)
	if err != nil {
		return err
	}
	for _, child := range children {
		tasks = append(tasks, child.run)
	}
	tasks = append(tasks, func(ctx context.Context) error { return serve(ctx, options.listen, children, registry) })
	group, ctx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		group.Go(func() error { return task(ctx) })
	}
	return group.Wait()
}

// task runs until its context ends; if it ends before, so does all the rest.
type task func(context.Context) error

// children writes what the programs read, and says how each is run.
func (p *plan) children(storage string) ([]*child, error) {
	var children []*child
	exporter := exporterAddress
	if p.exporter != nil {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		exporter = address
		command := append([]string{
			exporterProgram, "--web.listen-address=" + address, "--web.disable-exporter-metrics", "--log.level=" + p.logging.Level,
		}, p.exporter...)
		children = append(children, &child{"node_exporter", "http://" + address, command, os.Stderr})
	}
	if err := os.MkdirAll(storage, 0o777); err != nil {
		return nil, err
	}
	config := filepath.Join(storage, "prometheus.yml")
	text, err := p.prometheus.yaml(exporter)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, text, 0o666); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	command := []string{
		prometheusProgram, "--agent", "--config.file=" + config, "--storage.agent.path=" + filepath.Join(storage, "prometheus"),
		"--web.listen-address=" + address, "--log.level=" + p.logging.Level,
	}
	return append(children, &child{"prometheus", "http://" + address, command, os.Stderr}), nil
}

// followLogs gives a follower and a pusher for each source of logs.
func (p *plan) followLogs(storage string, registry prom.Registerer, logger *slog.Logger) ([]task, error) {
	if len(p.logs) == 0 {
		return nil, nil
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("following logs: %w", err)
	}
	// One long request for each container; the client's own limit would queue them.
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("following logs: %w", err)
	}
	metrics := newPushMetrics(registry)
	var tasks []task
	for _, source := range p.logs {
		positions, err := openPositions(filepath.Join(storage, source.id, "positions.json"))
		if err != nil {
			return nil, err
		}
		pusher, err := newPusher(source.write, positions, metrics, logger)
		if err != nil {
			return nil, err
		}
		entries := make(chan entry)
		logger := logger.With("component_id", source.id)
		follower := &follower{source: source, client: client, positions: positions, to: entries, logger: logger}
		tasks = append(tasks, follower.discover, func(ctx context.Context) error { return pusher.run(ctx, entries) })
	}
	return tasks, nil
}
