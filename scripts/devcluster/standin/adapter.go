package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// prometheusAdapter serves a custom metrics API that has no metrics, as the adapter does before it found a series.
func prometheusAdapter(argv args) ([]endpoint, error) {
	var config struct {
		Rules []map[string]any
	}
	if err := readYAML(argv.value("config", ""), &config); err != nil {
		return nil, fmt.Errorf("loading configuration: %w", err)
	}
	certificate, err := selfSigned(argv.value("cert-dir", "apiserver.local.config/certificates"))
	if err != nil {
		return nil, fmt.Errorf("making a serving certificate: %w", err)
	}

	const group, version = "custom.metrics.k8s.io", "v1beta1"
	type object = map[string]any
	preferred := object{"groupVersion": group + "/" + version, "version": version}
	described := object{
		"kind": "APIGroup", "apiVersion": "v1", "name": group,
		"versions": []any{preferred}, "preferredVersion": preferred,
	}
	documents := map[string]object{
		"/apis":          {"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{described}},
		"/apis/" + group: described,
		"/apis/" + group + "/" + version: {
			"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group + "/" + version, "resources": []any{},
		},
		// The API server adds these to its own; without them it logs an error every minute.
		"/openapi/v2": {"swagger": "2.0", "info": object{"title": "stand-in", "version": version}, "paths": object{}},
		"/openapi/v3": {"paths": object{}},
	}
	mux := http.NewServeMux()
	for path, document := range documents {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, document) })
	}
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		mux.HandleFunc("GET "+path, text("ok"))
	}
	address := net.JoinHostPort(argv.value("bind-address", ""), argv.value("secure-port", "443"))
	return []endpoint{{address: address, handler: mux, certificate: certificate}}, nil
}

// selfSigned makes a certificate for this run and keeps it in dir, where the adapter keeps its own.
func selfSigned(dir string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "stand-in for prometheus-adapter"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	err = errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "apiserver.crt"), certPEM, 0o644),
		os.WriteFile(filepath.Join(dir, "apiserver.key"), keyPEM, 0o600),
	)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	return &pair, err
}
