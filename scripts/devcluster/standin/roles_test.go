package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrometheusReadsItsConfigurationAndWritesToItsVolume(t *testing.T) {
	data := t.TempDir()
	config := "--config.file=" + manifests + "/prometheus/prometheus.yml"
	base := "http://" + serve(t, "prometheus", config, "--storage.tsdb.path="+data, "--web.listen-address=127.0.0.1:0")[0]
	wantStatus(t, http.StatusOK, "prometheus", base+"/-/ready")
	wantStatus(t, http.StatusOK, "prometheus", base+"/-/healthy")
	wantStatus(t, http.StatusNotFound, "prometheus", base+"/ready")
	if _, err := os.Stat(filepath.Join(data, "queries.active")); err != nil {
		t.Error(err)
	}

	broken := write(t, filepath.Join(t.TempDir(), "prometheus.yml"), "global: [")
	refuse(t, "no such file", "prometheus", "--config.file=/nowhere")
	refuse(t, "yaml", "prometheus", "--config.file="+broken)
	refuse(t, "opening storage", "prometheus", config, "--storage.tsdb.path="+unwritable(t))
}

func TestLokiIsReadyAfterItsMinReadyDuration(t *testing.T) {
	folder := t.TempDir()
	config := func(duration string) string {
		return "-config.file=" + write(t, filepath.Join(folder, duration, "local-config.yaml"), `
server: {http_listen_address: 127.0.0.1, http_listen_port: 0}
common: {path_prefix: `+folder+`}
ingester: {lifecycler: {min_ready_duration: `+duration+`}}
`)
	}
	url := "http://" + serve(t, "loki", config("1h"))[0] + "/ready"
	wantStatus(t, http.StatusServiceUnavailable, "loki", url)
	url = "http://" + serve(t, "loki", config("1ns"))[0] + "/ready"
	wantStatus(t, http.StatusOK, "loki", url)
	if _, err := os.Stat(filepath.Join(folder, "wal")); err != nil {
		t.Error(err)
	}
}

func TestLokiRefusesWhatLokiRefuses(t *testing.T) {
	folder := t.TempDir()
	stored := write(t, filepath.Join(folder, "a.yaml"), "common: {path_prefix: "+unwritable(t)+"}")
	forgetful := write(t, filepath.Join(folder, "b.yaml"), "compactor: {retention_enabled: true}")
	refuse(t, "opening storage", "loki", "-config.file="+stored)
	refuse(t, "delete-request-store should be configured", "loki", "-config.file="+forgetful)
}

func TestAlloyWantsItsFileAndItsEnvironment(t *testing.T) {
	argv := []string{
		"run", "--server.http.listen-addr=127.0.0.1:0", "--storage.path=" + t.TempDir(), manifests + "/alloy/config.alloy",
	}
	variables := []string{"NODE_NAME", "PROM_URL", "LOKI_URL"}
	for _, name := range variables {
		t.Setenv(name, "set")
	}
	wantStatus(t, http.StatusOK, "alloy", "http://"+serve(t, "alloy", argv...)[0]+"/-/ready")
	refuse(t, "no such file", "alloy", "run", "/nowhere")
	refuse(t, "opening storage", "alloy", "run", "--storage.path="+unwritable(t), argv[3])
	for _, name := range variables {
		t.Setenv(name, "")
		refuse(t, name, "alloy", argv...)
		t.Setenv(name, "set")
	}
}

func TestKubeStateMetricsAnswersOnBothPorts(t *testing.T) {
	local := []string{"--host=127.0.0.1", "--port=0", "--telemetry-host=127.0.0.1", "--telemetry-port=0"}
	addresses := serve(t, "kube-state-metrics", append(local, "--resources=pods")...)
	wantStatus(t, http.StatusOK, "kube-state-metrics", "http://"+addresses[0]+"/livez")
	wantStatus(t, http.StatusOK, "kube-state-metrics", "http://"+addresses[1]+"/readyz")
	if _, body := get(t, "kube-state-metrics", "http://"+addresses[0]+"/metrics"); !strings.Contains(body, "stand_in_info") {
		t.Errorf("metrics are %q", body)
	}
}

func TestAdapterServesAnEmptyMetricsAPIOverTLS(t *testing.T) {
	folder := t.TempDir()
	config := "--config=" + write(t, filepath.Join(folder, "config.yaml"), "rules: [{seriesQuery: up}]")
	argv := []string{"/adapter", "--bind-address=127.0.0.1", "--secure-port=0", config}
	base := "https://" + serve(t, "prometheus-adapter", append(argv, "--cert-dir="+folder+"/cert")...)[0]
	wantStatus(t, http.StatusOK, "prometheus-adapter", base+"/healthz")
	wantStatus(t, http.StatusOK, "prometheus-adapter", base+"/apis/custom.metrics.k8s.io")

	_, body := get(t, "prometheus-adapter", base+"/apis/custom.metrics.k8s.io/v1beta1")
	var list struct {
		Kind, GroupVersion string
		Resources          *[]any
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "APIResourceList" || list.GroupVersion != "custom.metrics.k8s.io/v1beta1" || list.Resources == nil {
		t.Errorf("discovery is %s", body)
	}
	if _, err := os.Stat(filepath.Join(folder, "cert", "apiserver.crt")); err != nil {
		t.Error(err)
	}

	refuse(t, "no such file", "prometheus-adapter", "--config=/nowhere")
	refuse(t, "certificate", "prometheus-adapter", config, "--cert-dir="+unwritable(t))
}

func TestTheStacksLokiConfigurationIsUnderstood(t *testing.T) {
	content, err := os.ReadFile(manifests + "/loki/local-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	local := strings.NewReplacer("/loki", folder, "port: 3100", "port: 0", "duration: 1s", "duration: 1ns").Replace(string(content))
	addresses := serve(t, "loki", "-config.file="+write(t, filepath.Join(folder, "local-config.yaml"), local))
	wantStatus(t, http.StatusOK, "loki", "http://"+addresses[0]+"/ready")
}
