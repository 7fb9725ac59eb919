package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// endpoint is an address and what answers there, over TLS if it has a certificate.
type endpoint struct {
	address     string
	handler     http.Handler
	certificate *tls.Certificate
}

type server struct {
	listener net.Listener
	handler  http.Handler
}

// listen opens an endpoint; every response says for whom it stands in.
func listen(role string, endpoint endpoint) (*server, error) {
	listener, err := net.Listen("tcp", endpoint.address)
	if err != nil {
		return nil, err
	}
	if endpoint.certificate != nil {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*endpoint.certificate}})
	}
	return &server{listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Stand-In", role)
		endpoint.handler.ServeHTTP(w, r)
	})}, nil
}

func (s *server) serve() error {
	return http.Serve(s.listener, s.handler)
}

// text answers with a line of text.
func text(line string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, line) }
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// readYAML reads a file of YAML into v; an empty file is an error too.
func readYAML(path string, v any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return fmt.Errorf("%s: is empty", path)
	}
	if err := yaml.Unmarshal(content, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// touch writes a file, and the folders above it, as a program with a volume does at start.
func touch(elements ...string) error {
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, []byte("written by a stand-in\n"), 0o666)
}
