package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// A kubelet restarts a container after 10 s or more, but for the first time: no run of it is missed.
	longestPause  = 5 * time.Second
	shortestPause = 250 * time.Millisecond
	// What a pod said last is still read when it is gone.
	drainTime = 10 * time.Second
)

// container is one whose log is followed.
type container struct {
	namespace, pod, name, uid string
}

// MarshalText makes it a key of JSON.
func (c container) MarshalText() ([]byte, error) {
	return []byte(strings.Join([]string{c.namespace, c.pod, c.name, c.uid}, "/")), nil
}

// UnmarshalText reads what MarshalText wrote.
func (c *container) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "/")
	if len(parts) != 4 {
		return fmt.Errorf("%q is no container", text)
	}
	*c = container{parts[0], parts[1], parts[2], parts[3]}
	return nil
}

// entry is a line of a log on its way.
type entry struct {
	log    container
	labels labels.Labels
	time   time.Time
	line   string
	sum    uint64
	// last says that no line will follow: there is none in this entry.
	last bool
}

// tail follows the log of one container through its restarts, until the container is gone.
type tail struct {
	log    container
	client kubernetes.Interface
	to     chan<- entry
	logger *slog.Logger

	labels atomic.Pointer[labels.Labels]
	// over is set when the pod will not run again: what its log holds is read once more.
	over     atomic.Bool
	position position
}

// run follows the log until ctx ends, the pod is over, or gone is closed and its last lines are read.
func (t *tail) run(ctx context.Context, gone <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-gone:
			time.AfterFunc(drainTime, cancel)
		case <-ctx.Done():
		}
	}()
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		over := t.over.Load()
		lines, err := t.read(ctx)
		if ctx.Err() != nil || (over && err == nil) {
			return
		}
		if err != nil {
			// Most often that the container has not started yet.
			t.logger.Debug("log cannot be read, will retry", "pod", t.log.pod, "container", t.log.name, "err", err)
		}
		if lines > 0 {
			pause = shortestPause
		}
		select {
		case <-time.After(pause):
		case <-gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

// read passes on what is new in the log until it ends, and gives the number of lines.
func (t *tail) read(ctx context.Context) (int, error) {
	options := &v1.PodLogOptions{Container: t.log.name, Follow: true, Timestamps: true}
	if !t.position.Since.IsZero() {
		options.SinceTime = &metav1.Time{Time: t.position.Since}
	}
	stream, err := t.client.CoreV1().Pods(t.log.namespace).GetLogs(t.log.pod, options).Stream(ctx)
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	known := t.position.clone().Lines
	lines := 0
	for reader := bufio.NewReader(stream); ; {
		text, err := reader.ReadString('\n')
		// A line that the connection broke off comes again whole.
		if whole := err == nil || errors.Is(err, io.EOF); whole && text != "" {
			isNew, err := t.take(ctx, strings.TrimSuffix(text, "\n"), known)
			if err != nil {
				return lines, err
			}
			if isNew {
				lines++
			}
		}
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
	}
}

// take passes on a line that is not known yet.
func (t *tail) take(ctx context.Context, text string, known map[uint64]seenLine) (bool, error) {
	stamp, line, _ := strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		// The kubelet's own words, where it cannot read the log.
		t.logger.Warn("line without a time", "pod", t.log.pod, "container", t.log.name, "line", text)
		return false, nil
	}
	sum := sum(text)
	if seen := known[sum]; seen.Count > 0 {
		seen.Count--
		known[sum] = seen
		return false, nil
	}
	select {
	case t.to <- entry{log: t.log, labels: *t.labels.Load(), time: at, line: line, sum: sum}:
		t.position.add(at, sum)
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
