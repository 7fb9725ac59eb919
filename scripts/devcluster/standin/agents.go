package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func alloy(argv args) ([]endpoint, error) {
	operands := argv.operands()
	if len(operands) != 2 || operands[0] != "run" {
		return nil, fmt.Errorf("usage: alloy run [flags] FILE, not %q", operands)
	}
	config, err := os.ReadFile(operands[1])
	if err != nil {
		return nil, fmt.Errorf("loading configuration: %w", err)
	}
	if len(config) == 0 {
		return nil, fmt.Errorf("loading configuration: %s: is empty", operands[1])
	}
	// The configuration reads these; Alloy itself would take an unset one for "" and read or write nothing.
	for _, name := range []string{"NODE_NAME", "PROM_URL", "LOKI_URL"} {
		if os.Getenv(name) == "" {
			return nil, fmt.Errorf("the environment has no %s", name)
		}
	}
	if err := touch(argv.value("storage.path", "data-alloy"), "alloy_seed.json"); err != nil {
		return nil, fmt.Errorf("opening storage: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/healthy", text("All Alloy components are healthy. (a stand-in)"))
	mux.HandleFunc("GET /-/ready", text("Alloy is ready. (a stand-in)"))
	return []endpoint{{address: argv.value("server.http.listen-addr", "127.0.0.1:12345"), handler: mux}}, nil
}

func kubeStateMetrics(argv args) ([]endpoint, error) {
	metrics := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, `stand_in_info{role="kube-state-metrics"} 1`)
	}
	main := http.NewServeMux()
	main.HandleFunc("GET /healthz", text("OK"))
	main.HandleFunc("GET /livez", text("OK"))
	main.HandleFunc("GET /metrics", metrics)
	telemetry := http.NewServeMux()
	telemetry.HandleFunc("GET /metrics", metrics)
	telemetry.HandleFunc("GET /readyz", text("OK"))
	return []endpoint{
		{address: net.JoinHostPort(argv.value("host", ""), argv.value("port", "8080")), handler: main},
		{address: net.JoinHostPort(argv.value("telemetry-host", ""), argv.value("telemetry-port", "8081")), handler: telemetry},
	}, nil
}
