package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// pod is what discovery finds of the only pod, or that it is gone.
func pod(there bool) []*targetgroup.Group {
	group := &targetgroup.Group{
		Source: "pod/shop/till-0",
		Labels: model.LabelSet{
			"__meta_kubernetes_namespace": "shop", "__meta_kubernetes_pod_name": "till-0", "__meta_kubernetes_pod_uid": "u",
		},
	}
	if there {
		group.Targets = []model.LabelSet{{"__meta_kubernetes_pod_container_name": "web"}}
	}
	return []*targetgroup.Group{group}
}

// start follows the log, until the function that it returns is called.
func (s *site) start(t *testing.T) (chan<- []*targetgroup.Group, func()) {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: s.apiURL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	positions, err := openPositions(filepath.Join(s.folder, "positions.json"))
	if err != nil {
		t.Fatal(err)
	}
	write := &lokiWrite{Endpoint: endpoint{s.lokiURL}, id: "loki.write.test"}
	pusher, err := newPusher(write, positions, s.metrics, promslog.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	rules := compiled(t, []rule{{
		SourceLabels: []string{"__meta_kubernetes_pod_name"}, Separator: ";", TargetLabel: "pod",
		Replacement: "$1", Action: "replace",
	}})
	entries, groups := make(chan entry), make(chan []*targetgroup.Group)
	follower := &follower{
		source: logSource{id: "test", rules: rules, write: write}, client: client, positions: positions,
		to: entries, logger: promslog.NewNopLogger(),
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { follower.follow(ctx, groups) })
	group.Go(func() {
		if err := pusher.run(ctx, entries); err != nil {
			t.Error(err)
		}
	})
	return groups, func() {
		cancel()
		group.Wait()
	}
}

// second is a line of the log's n-th second, and the same as Loki has it.
func second(n int, nanos, text string) (string, string) {
	at := time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC)
	stamp := at.Format("2006-01-02T15:04:05.") + nanos + "Z"
	return stamp + " " + text, fmt.Sprintf("till-0 %d%s %s", at.Unix(), nanos, text)
}

func TestEveryLineArrivesOnceWhateverBreaksOff(t *testing.T) {
	site := newSite(t)
	want := map[string]int{}
	last := ""
	say := func(n int, nanos, text string) {
		line, arrived := second(n, nanos, text)
		want[arrived]++
		last = arrived
		site.api.say(line)
	}
	say(1, "000000001", "first")
	say(1, "000000001", "at the same time")
	say(1, "000000005", "twice")
	say(1, "000000005", "twice")
	say(1, "000000003", "of the other stream, a little late")
	groups, stop := site.start(t)
	groups <- pod(true)
	site.loki.wait(t, last)

	site.api.breakOff()
	say(1, "000000002", "later still, after a new connection")
	site.loki.wait(t, last)
	say(9, "500000000", "eight seconds on")
	site.loki.wait(t, last)
	site.api.breakOff()
	say(9, "500000000", "at the same time again")
	site.loki.wait(t, last)

	stop()
	say(9, "500000001", "while nobody listened")
	groups, stop = site.start(t)
	groups <- pod(true)
	site.loki.wait(t, last)

	// Gone and back, as when a pod loses its address for a moment.
	groups <- pod(false)
	groups <- pod(true)
	site.api.breakOff()
	say(12, "000000000", "back again")
	site.loki.wait(t, last)
	stop()

	if !maps.Equal(site.loki.got, want) {
		t.Errorf("got  %v\nwant %v", site.loki.got, want)
	}
	if site.api.asked < 5 {
		t.Errorf("only %d requests: nothing was broken off", site.api.asked)
	}
	if sent := testutil.ToFloat64(site.metrics.sent); sent != float64(len(want)+1) {
		t.Errorf("%v lines counted as sent", sent)
	}
}

func TestALineIsSentUntilLokiTakesIt(t *testing.T) {
	site := newSite(t, http.StatusServiceUnavailable, http.StatusTooManyRequests)
	groups, stop := site.start(t)
	groups <- pod(true)
	line, arrived := second(1, "000000000", "patient")
	site.api.say(line)
	site.loki.wait(t, arrived)
	stop()
	if retries := testutil.ToFloat64(site.metrics.retries); retries != 2 {
		t.Errorf("%v retries counted", retries)
	}
}

func TestALineThatLokiRefusesIsDroppedAndCounted(t *testing.T) {
	site := newSite(t, http.StatusBadRequest)
	groups, stop := site.start(t)
	groups <- pod(true)
	refused, _ := second(1, "000000000", "refused")
	site.api.say(refused)
	for timeout := time.After(deadline); testutil.ToFloat64(site.metrics.dropped) != 1; {
		site.loki.lock.Lock()
		arrived := site.loki.arrived
		site.loki.lock.Unlock()
		select {
		case <-arrived:
		case <-time.After(10 * time.Millisecond):
		case <-timeout:
			t.Fatal("nothing is counted as dropped")
		}
	}
	stop()
	groups, stop = site.start(t)
	groups <- pod(true)
	line, arrived := second(2, "000000000", "taken")
	site.api.say(line)
	site.loki.wait(t, arrived)
	stop()
	if got := slices.Collect(maps.Keys(site.loki.got)); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestThePositionInALogIsKeptOnlyWhileThereIsOne(t *testing.T) {
	site := newSite(t)
	groups, stop := site.start(t)
	groups <- pod(true)
	line, arrived := second(1, "000000000", "only")
	site.api.say(line)
	site.loki.wait(t, arrived)
	groups <- pod(false)
	site.api.breakOff()
	path := filepath.Join(site.folder, "positions.json")
	for until := time.Now().Add(deadline); ; time.Sleep(10 * time.Millisecond) {
		positions, err := openPositions(path)
		if err == nil && len(positions.logs) == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%v %v", positions, err)
		}
	}
	stop()
}

func TestAChildsWordsArePassedOnAndKept(t *testing.T) {
	var passed strings.Builder
	words := &words{to: &passed}
	fmt.Fprint(words, "time=2026-01-01T00:00:00Z level=WA")
	fmt.Fprint(words, "RN msg=\"Failed to send batch, retrying\" url=http://x err=\"no\"\nplain\n")
	const warning = `ts=2026-01-01T00:00:00Z level=warn msg="Failed to send batch, retrying" url=http://x err="no"`
	if got := passed.String(); got != warning+"\nplain\n" {
		t.Errorf("got %q", got)
	}
	if got := words.last(); got != warning+" | plain" {
		t.Errorf("last words %q", got)
	}
}
