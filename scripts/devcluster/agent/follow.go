package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"

	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// follower keeps one tail for every container that the rules leave, labelled as Alloy would label it.
type follower struct {
	source    logSource
	client    kubernetes.Interface
	positions *positions
	to        chan<- entry
	logger    *slog.Logger

	tails   map[container]*running
	ended   chan *running
	running sync.WaitGroup
}

// running is a tail at work.
type running struct {
	*tail
	// gone is closed when the rules leave the container no more, done when the tail has read what was left.
	gone, done chan struct{}
	retired    bool
}

// discover has Prometheus' own discovery find the pods.
func (f *follower) discover(ctx context.Context) error {
	registry := prom.NewRegistry()
	metrics := f.source.discovery.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
	discoverer, err := f.source.discovery.NewDiscoverer(discovery.DiscovererOptions{Logger: f.logger, Metrics: metrics})
	if err != nil {
		return fmt.Errorf("%s: %w", f.source.id, err)
	}
	groups := make(chan []*targetgroup.Group)
	go discoverer.Run(ctx, groups)
	f.follow(ctx, groups)
	return nil
}

// follow starts and ends tails as groups of targets come and go, until ctx ends and all of them have.
func (f *follower) follow(ctx context.Context, groups <-chan []*targetgroup.Group) {
	defer f.running.Wait()
	f.tails, f.ended = map[container]*running{}, make(chan *running)
	byGroup := map[string][]container{}
	for {
		select {
		case <-ctx.Done():
			return
		case ended := <-f.ended:
			f.forget(ctx, ended)
		case changed := <-groups:
			for _, group := range changed {
				wanted := f.wanted(group)
				for _, log := range byGroup[group.Source] {
					if _, still := wanted[log]; !still {
						f.retire(log)
					}
				}
				byGroup[group.Source] = nil
				for log, labels := range wanted {
					byGroup[group.Source] = append(byGroup[group.Source], log)
					f.keep(ctx, log, labels, isOver(group))
				}
				if len(wanted) == 0 {
					delete(byGroup, group.Source)
				}
			}
		}
	}
}

// isOver says whether the containers of a pod have run for the last time.
func isOver(group *targetgroup.Group) bool {
	phase := group.Labels["__meta_kubernetes_pod_phase"]
	return phase == "Succeeded" || phase == "Failed"
}

// wanted gives the containers that a group leaves after the rules; a container with many ports is many targets.
func (f *follower) wanted(group *targetgroup.Group) map[container]labels.Labels {
	wanted := map[container]labels.Labels{}
	for _, target := range group.Targets {
		builder := labels.NewBuilder(labels.EmptyLabels())
		for _, set := range []model.LabelSet{group.Labels, target} {
			for name, value := range set {
				builder.Set(string(name), string(value))
			}
		}
		meta := func(name string) string { return builder.Get("__meta_kubernetes_" + name) }
		log := container{meta("namespace"), meta("pod_name"), meta("pod_container_name"), meta("pod_uid")}
		// A pod without an address yet is a target without a container.
		if log.name != "" && relabel.ProcessBuilder(builder, f.source.rules...) {
			wanted[log] = public(builder, log, f.source)
		}
	}
	return wanted
}

// public is what is sent along with a line: defaults as Alloy sets them, nothing internal, and the writer's own labels.
func public(builder *labels.Builder, log container, source logSource) labels.Labels {
	defaults := map[string]string{
		"job":      source.id,
		"instance": fmt.Sprintf("%s/%s:%s", log.namespace, log.pod, log.name),
	}
	for _, set := range []map[string]string{defaults, source.write.ExternalLabels} {
		for name, value := range set {
			if builder.Get(name) == "" {
				builder.Set(name, value)
			}
		}
	}
	builder.Range(func(label labels.Label) {
		if strings.HasPrefix(label.Name, "__") {
			builder.Del(label.Name)
		}
	})
	return builder.Labels()
}

// keep sees to it that a container's log is followed, under the labels that it has now.
func (f *follower) keep(ctx context.Context, log container, labels labels.Labels, over bool) {
	known := f.tails[log]
	if known == nil || known.retired {
		known = f.start(ctx, log, labels, known)
	}
	known.labels.Store(&labels)
	known.over.Store(over)
}

// start follows a log from where the tail before left off, or else from where an earlier run did.
func (f *follower) start(ctx context.Context, log container, labels labels.Labels, before *running) *running {
	started := &running{
		tail: &tail{log: log, client: f.client, to: f.to, logger: f.logger},
		gone: make(chan struct{}), done: make(chan struct{}),
	}
	started.labels.Store(&labels)
	f.tails[log] = started
	f.running.Go(func() {
		if before != nil {
			<-before.done
			started.position = before.position
		} else {
			started.position = f.positions.of(log)
		}
		started.run(ctx, started.gone)
		close(started.done)
		select {
		case <-started.gone:
			select {
			case f.ended <- started:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	})
	return started
}

// retire lets a tail read what is left and end.
func (f *follower) retire(log container) {
	f.tails[log].retired = true
	close(f.tails[log].gone)
}

// forget has the position dropped once the last line is delivered, unless the container has come back meanwhile.
func (f *follower) forget(ctx context.Context, ended *running) {
	if f.tails[ended.log] != ended {
		return
	}
	delete(f.tails, ended.log)
	select {
	case f.to <- entry{log: ended.log, last: true}:
	case <-ctx.Done():
	}
}
