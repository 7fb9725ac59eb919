package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v2"

	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/model/relabel"
)

// plan is what a configuration of Alloy comes to: a Prometheus, an exporter, and logs to follow.
type plan struct {
	logging    logging
	prometheus prometheusConfig
	// exporter holds the arguments of node_exporter, nil if there is to be none.
	exporter []string
	logs     []logSource
}

// exporterAddress stands for the address of node_exporter until it has one.
const exporterAddress = "exporter.invalid:0"

// prometheusConfig is the part of Prometheus' configuration that is used here.
type prometheusConfig struct {
	Global struct {
		ExternalLabels map[string]string `yaml:"external_labels,omitempty"`
	} `yaml:"global"`
	ScrapeConfigs []scrapeConfig      `yaml:"scrape_configs,omitempty"`
	RemoteWrite   []remoteWriteConfig `yaml:"remote_write,omitempty"`
}

type remoteWriteConfig struct {
	Name string `yaml:"name"`
	URL  string `yaml:"url"`
}

type scrapeConfig struct {
	JobName        string                 `yaml:"job_name"`
	ScrapeInterval model.Duration         `yaml:"scrape_interval"`
	ScrapeTimeout  model.Duration         `yaml:"scrape_timeout"`
	Scheme         string                 `yaml:"scheme"`
	MetricsPath    string                 `yaml:"metrics_path"`
	HonorLabels    bool                   `yaml:"honor_labels"`
	TrackStaleness bool                   `yaml:"track_timestamps_staleness"`
	Authorization  *authorization         `yaml:"authorization,omitempty"`
	TLS            *tlsConfig             `yaml:"tls_config,omitempty"`
	Static         []staticConfig         `yaml:"static_configs,omitempty"`
	Kubernetes     []*discoveryKubernetes `yaml:"kubernetes_sd_configs,omitempty"`
	Relabel        []rule                 `yaml:"relabel_configs,omitempty"`
	MetricRelabel  []rule                 `yaml:"metric_relabel_configs,omitempty"`
}

type authorization struct {
	CredentialsFile string `yaml:"credentials_file"`
}

type staticConfig struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
}

// yaml writes the configuration for a Prometheus beside an exporter at the given address.
func (c prometheusConfig) yaml(exporter string) ([]byte, error) {
	text, err := yaml.Marshal(c)
	return []byte(strings.ReplaceAll(string(text), exporterAddress, exporter)), err
}

func (s *prometheusScrape) build(id string, plan *plan) error {
	origin, rules, err := s.Targets.source.trace()
	if err != nil {
		return err
	}
	metricRules, err := traceOnly(s.ForwardTo)
	if err != nil {
		return err
	}
	config := scrapeConfig{
		// Unlike Alloy's, Prometheus' must differ from each other.
		JobName:        id,
		ScrapeInterval: model.Duration(s.ScrapeInterval),
		ScrapeTimeout:  model.Duration(s.ScrapeTimeout),
		Scheme:         s.Scheme,
		MetricsPath:    s.MetricsPath,
		HonorLabels:    s.HonorLabels,
		TrackStaleness: s.TrackStaleness,
		TLS:            s.TLS,
		Relabel:        rules,
		MetricRelabel:  metricRules,
	}
	if s.BearerTokenFile != "" {
		config.Authorization = &authorization{s.BearerTokenFile}
	}
	if origin.discovery != nil {
		config.Kubernetes = []*discoveryKubernetes{origin.discovery}
	} else {
		config.Static = []staticConfig{{
			Targets: []string{exporterAddress},
			Labels:  map[string]string{"job": "integrations/unix", "instance": hostname()},
		}}
	}
	if s.JobName != "" {
		name, own := rule{SourceLabels: []string{"job"}, TargetLabel: "job"}, regexp.QuoteMeta(id)
		name.Separator, name.Action = ";", "replace"
		name.Regex, name.Replacement = &own, strings.ReplaceAll(s.JobName, "$", "$$")
		config.Relabel = append(config.Relabel, name)
	}
	plan.prometheus.ScrapeConfigs = append(plan.prometheus.ScrapeConfigs, config)
	return nil
}

// hostname is what Alloy takes for an exporter's instance.
func hostname() string {
	if name := os.Getenv("HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// logSource says which containers' logs to follow, and where their lines go.
type logSource struct {
	id        string
	discovery *kubernetes.SDConfig
	rules     []*relabel.Config
	write     *lokiWrite
}

func (s *lokiSourceKubernetes) build(id string, plan *plan) error {
	origin, rules, err := s.Targets.source.trace()
	if err != nil {
		return err
	}
	if origin.discovery == nil {
		return errors.New("its targets are no pods")
	}
	if len(s.ForwardTo) != 1 {
		return fmt.Errorf("this stand-in forwards to one receiver, not to %d", len(s.ForwardTo))
	}
	source := logSource{id: id, discovery: &kubernetes.SDConfig{}, write: s.ForwardTo[0].write}
	text, err := yaml.Marshal(origin.discovery)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, source.discovery); err != nil {
		return fmt.Errorf("discovery.kubernetes: %w", err)
	}
	for _, rule := range rules {
		compiled, err := rule.compile()
		if err != nil {
			return err
		}
		source.rules = append(source.rules, compiled)
	}
	plan.logs = append(plan.logs, source)
	return nil
}
