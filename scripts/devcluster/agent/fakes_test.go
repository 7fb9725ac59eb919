package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
)

const deadline = 20 * time.Second

// api serves the log of one container, as the API server does: whole lines from a second on, and what comes after.
type api struct {
	lock   sync.Mutex
	lines  []string
	grown  chan struct{}
	broken chan struct{}
	asked  int
}

func newAPI() *api { return &api{grown: make(chan struct{}), broken: make(chan struct{})} }

// say adds lines to the log.
func (a *api) say(lines ...string) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.lines = append(a.lines, lines...)
	close(a.grown)
	a.grown = make(chan struct{})
}

// breakOff ends every connection in the middle of a line.
func (a *api) breakOff() {
	a.lock.Lock()
	defer a.lock.Unlock()
	close(a.broken)
	a.broken = make(chan struct{})
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if r.URL.Path != "/api/v1/namespaces/shop/pods/till-0/log" || query.Get("container") != "web" || query.Get("follow") != "true" {
		http.Error(w, "no such log: "+r.URL.String(), http.StatusNotFound)
		return
	}
	since, _ := time.Parse(time.RFC3339, query.Get("sinceTime"))
	a.lock.Lock()
	a.asked++
	broken := a.broken
	a.lock.Unlock()
	for next := 0; ; {
		a.lock.Lock()
		lines, grown := a.lines[next:], a.grown
		a.lock.Unlock()
		next += len(lines)
		for _, line := range lines {
			var stamp, text string
			fmt.Sscanf(line, "%s %s", &stamp, &text)
			if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || !at.Before(since) {
				fmt.Fprintln(w, line)
			}
		}
		w.(http.Flusher).Flush()
		select {
		case <-grown:
		case <-broken:
			fmt.Fprint(w, "2026-01-01T00:00:59Z half a li")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
	}
}

// loki counts what it is sent, and answers with the statuses given, then with 204.
type loki struct {
	lock     sync.Mutex
	statuses []int
	got      map[string]int
	arrived  chan struct{}
}

func (l *loki) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var push struct {
		Streams []struct {
			Stream map[string]string
			Values [][2]string
		}
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	if len(l.statuses) > 0 {
		http.Error(w, "not now", l.statuses[0])
		l.statuses = l.statuses[1:]
	} else if err := json.NewDecoder(r.Body).Decode(&push); err != nil || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
	for _, stream := range push.Streams {
		for _, value := range stream.Values {
			l.got[stream.Stream["pod"]+" "+value[0]+" "+value[1]]++
		}
	}
	close(l.arrived)
	l.arrived = make(chan struct{})
}

// wait ends when Loki has a line, or the test.
func (l *loki) wait(t *testing.T, line string) {
	t.Helper()
	for timeout := time.After(deadline); ; {
		l.lock.Lock()
		count, arrived := l.got[line], l.arrived
		l.lock.Unlock()
		if count > 0 {
			return
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("%q does not arrive", line)
		}
	}
}

// site is an API server, a Loki, and the folder that an agent keeps its positions in.
type site struct {
	api     *api
	loki    *loki
	apiURL  string
	lokiURL string
	folder  string
	metrics *pushMetrics
}

func newSite(t *testing.T, statuses ...int) *site {
	api, loki := newAPI(), &loki{statuses: statuses, got: map[string]int{}, arrived: make(chan struct{})}
	apiServer, lokiServer := httptest.NewServer(api), httptest.NewServer(loki)
	t.Cleanup(lokiServer.Close)
	t.Cleanup(apiServer.Close)
	t.Cleanup(apiServer.CloseClientConnections)
	return &site{api, loki, apiServer.URL, lokiServer.URL, t.TempDir(), newPushMetrics(prom.NewRegistry())}
}
