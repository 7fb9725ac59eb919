package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

func prometheus(argv args) ([]endpoint, error) {
	var config map[string]any
	if err := readYAML(argv.value("config.file", "prometheus.yml"), &config); err != nil {
		return nil, fmt.Errorf("loading configuration: %w", err)
	}
	if err := touch(argv.value("storage.tsdb.path", "data"), "queries.active"); err != nil {
		return nil, fmt.Errorf("opening storage: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/healthy", text("Prometheus Server is Healthy. (a stand-in)"))
	mux.HandleFunc("GET /-/ready", text("Prometheus Server is Ready. (a stand-in)"))
	return []endpoint{{address: argv.value("web.listen-address", "0.0.0.0:9090"), handler: mux}}, nil
}

func loki(argv args) ([]endpoint, error) {
	var config struct {
		Server struct {
			Address string `yaml:"http_listen_address"`
			Port    int    `yaml:"http_listen_port"`
		}
		Common struct {
			PathPrefix string `yaml:"path_prefix"`
		}
		Ingester struct {
			Lifecycler struct {
				MinReadyDuration time.Duration `yaml:"min_ready_duration"`
			}
		}
		Compactor struct {
			RetentionEnabled   bool   `yaml:"retention_enabled"`
			DeleteRequestStore string `yaml:"delete_request_store"`
		}
	}
	// What Loki takes where its file is silent.
	config.Server.Port = 3100
	config.Ingester.Lifecycler.MinReadyDuration = 15 * time.Second

	if err := readYAML(argv.value("config.file", ""), &config); err != nil {
		return nil, fmt.Errorf("loading configuration: %w", err)
	}
	if config.Compactor.RetentionEnabled && config.Compactor.DeleteRequestStore == "" {
		return nil, errors.New("CONFIG ERROR: compactor.delete-request-store should be configured when retention is enabled")
	}
	if prefix := config.Common.PathPrefix; prefix != "" {
		if err := touch(prefix, "wal", "stand-in"); err != nil {
			return nil, fmt.Errorf("opening storage: %w", err)
		}
	}
	ready := time.Now().Add(config.Ingester.Lifecycler.MinReadyDuration)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().Before(ready) {
			http.Error(w, "Ingester not ready: waiting for min_ready_duration (a stand-in)", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	address := net.JoinHostPort(config.Server.Address, strconv.Itoa(config.Server.Port))
	return []endpoint{{address: address, handler: mux}}, nil
}
