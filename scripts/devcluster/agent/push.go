package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
)

const (
	// As Alloy's loki.write has them, but that it gives up after ten tries: here lines wait in the kubelet's files.
	batchSize       = 1 << 20
	batchWait       = time.Second
	requestTimeout  = 10 * time.Second
	shortestBackoff = 500 * time.Millisecond
	longestBackoff  = 30 * time.Second
)

// pushMetrics go by Alloy's names.
type pushMetrics struct {
	sent, dropped, retries *prom.CounterVec
	duration               *prom.HistogramVec
}

func newPushMetrics(registry prom.Registerer) *pushMetrics {
	counter := func(name, help string, labels ...string) *prom.CounterVec {
		vec := prom.NewCounterVec(prom.CounterOpts{Name: name, Help: help}, append(labels, "component_id", "host"))
		registry.MustRegister(vec)
		return vec
	}
	metrics := &pushMetrics{
		sent:    counter("loki_write_sent_entries_total", "Number of log entries sent to the ingester."),
		dropped: counter("loki_write_dropped_entries_total", "Number of log entries dropped because failed to be sent to the ingester.", "reason"),
		retries: counter("loki_write_batch_retries_total", "Number of times batches has had to be retried."),
		duration: prom.NewHistogramVec(
			prom.HistogramOpts{Name: "loki_write_request_duration_seconds", Help: "Duration of send requests."},
			[]string{"status_code", "component_id", "host"},
		),
	}
	registry.MustRegister(metrics.duration)
	return metrics
}

// pusher sends lines to Loki in batches, each until Loki takes or refuses it, and notes down what was delivered.
type pusher struct {
	write     *lokiWrite
	host      string
	positions *positions
	metrics   *pushMetrics
	logger    *slog.Logger
}

func newPusher(write *lokiWrite, positions *positions, metrics *pushMetrics, logger *slog.Logger) (*pusher, error) {
	address, err := url.Parse(write.Endpoint.URL)
	if err != nil || address.Host == "" {
		return nil, fmt.Errorf("%s: %q is no URL", write.id, write.Endpoint.URL)
	}
	// What has not happened is 0, not unknown.
	metrics.sent.WithLabelValues(write.id, address.Host)
	metrics.retries.WithLabelValues(write.id, address.Host)
	metrics.dropped.WithLabelValues("ingester_error", write.id, address.Host)
	logger = logger.With("component_id", write.id, "host", address.Host, "url", address.Redacted())
	return &pusher{write, address.Host, positions, metrics, logger}, nil
}

// run sends what comes in until ctx ends; what it holds then it sends once more, if Loki takes it at once.
func (p *pusher) run(ctx context.Context, entries <-chan entry) error {
	for {
		var batch []entry
		var full <-chan time.Time
		for size := 0; size < batchSize; {
			select {
			case entry := <-entries:
				if batch == nil {
					full = time.After(batchWait)
				}
				batch = append(batch, entry)
				size += len(entry.line)
				continue
			case <-full:
			case <-ctx.Done():
			}
			break
		}
		if len(batch) > 0 {
			if err := p.deliver(ctx, batch); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// deliver sends a batch until Loki has taken or refused it. It is an error only if that cannot be noted down.
func (p *pusher) deliver(ctx context.Context, batch []entry) error {
	lines := 0
	for _, entry := range batch {
		if !entry.last {
			lines++
		}
	}
	for backoff := shortestBackoff; lines > 0; backoff = min(2*backoff, longestBackoff) {
		status, err := p.send(batch)
		if err == nil {
			p.metrics.sent.WithLabelValues(p.write.id, p.host).Add(float64(lines))
			break
		}
		if status/100 == 4 && status != http.StatusTooManyRequests {
			p.logger.Error("final error sending batch, no retries left, dropping data", "status", status, "err", err)
			p.metrics.dropped.WithLabelValues("ingester_error", p.write.id, p.host).Add(float64(lines))
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		p.logger.Warn("error sending batch, will retry", "status", status, "err", err)
		p.metrics.retries.WithLabelValues(p.write.id, p.host).Inc()
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return nil
		}
	}
	return p.positions.delivered(batch)
}

// send makes one request and gives Loki's status, or -1 if there was no answer.
func (p *pusher) send(batch []entry) (int, error) {
	// Not that of the run: the last batch is sent when it has ended.
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.write.Endpoint.URL, bytes.NewReader(encode(batch)))
	if err != nil {
		return -1, err
	}
	request.Header.Set("Content-Type", "application/json")
	began, status := time.Now(), -1
	response, err := http.DefaultClient.Do(request)
	if err == nil {
		status = response.StatusCode
		defer response.Body.Close()
	}
	p.metrics.duration.WithLabelValues(strconv.Itoa(status), p.write.id, p.host).Observe(time.Since(began).Seconds())
	if err != nil || status/100 == 2 {
		return status, err
	}
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
	first, _, _ := strings.Cut(strings.TrimSpace(string(answer)), "\n")
	return status, fmt.Errorf("server returned HTTP status %s: %s", response.Status, first)
}

// encode writes a batch as Loki's push API takes it, one stream for each set of labels.
func encode(batch []entry) []byte {
	type stream struct {
		Labels map[string]string `json:"stream"`
		Values [][2]string       `json:"values"`
	}
	var streams []*stream
	byLabels := map[string]*stream{}
	for _, entry := range batch {
		if entry.last {
			continue
		}
		key := entry.labels.String()
		if byLabels[key] == nil {
			byLabels[key] = &stream{Labels: entry.labels.Map()}
			streams = append(streams, byLabels[key])
		}
		value := [2]string{strconv.FormatInt(entry.time.UnixNano(), 10), entry.line}
		byLabels[key].Values = append(byLabels[key].Values, value)
	}
	text, err := json.Marshal(map[string]any{"streams": streams})
	if err != nil {
		panic(err) // Strings only.
	}
	return text
}
