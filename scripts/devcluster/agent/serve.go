package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// serve answers where Alloy does: for the whole, and with the numbers of both Prometheus and the tailer.
func serve(ctx context.Context, address string, children []*child, registry prom.Gatherer) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/ready", health("Alloy is ready. (a stand-in)", children))
	mux.HandleFunc("GET /-/healthy", health("All Alloy components are healthy. (a stand-in)", children))
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, child := range children {
			if child.name == "prometheus" {
				if err := copyFrom(r.Context(), child.url+"/metrics", w); err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
					return
				}
			}
		}
		families, err := registry.Gather()
		for _, family := range families {
			if err == nil {
				_, err = expfmt.MetricFamilyToText(w, family)
			}
		}
	})
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Stand-In", "alloy")
			mux.ServeHTTP(w, r)
		},
	)}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

// health is good if every child's is.
func health(good string, children []*child) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, child := range children {
			path := "/-/ready"
			if child.name == "node_exporter" {
				path = "/"
			}
			if err := copyFrom(r.Context(), child.url+path, io.Discard); err != nil {
				http.Error(w, fmt.Sprintf("%s: %v", child.name, err), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, good)
	}
}

// copyFrom asks a child and passes on what it answers, if that is good.
func copyFrom(ctx context.Context, url string, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	_, err = io.Copy(to, response.Body)
	return err
}
