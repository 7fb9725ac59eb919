package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v2"

	"github.com/prometheus/prometheus/model/relabel"
)

// targets are what one component finds and another takes.
type targets struct{ source source }

// AlloyCapsule tells the language to pass it on as it is.
func (targets) AlloyCapsule() {}

// source finds targets, or changes those of another: trace follows them to where they come from.
type source interface {
	trace() (origin, []rule, error)
}

// origin is where targets come from: the API server, or the exporter that runs beside.
type origin struct {
	discovery *discoveryKubernetes
	exporter  *exporterUnix
}

// receiver is what takes samples: trace follows them to where they are sent.
type receiver struct{ sink sink }

// AlloyCapsule tells the language to pass it on as it is.
func (receiver) AlloyCapsule() {}

type sink interface {
	trace() ([]rule, error)
}

// logReceiver is what takes lines of log.
type logReceiver struct{ write *lokiWrite }

// AlloyCapsule tells the language to pass it on as it is.
func (logReceiver) AlloyCapsule() {}

// rule is a rule of relabelling. Its fields are Prometheus' own.
type rule struct {
	SourceLabels []string `alloy:"source_labels,attr,optional" yaml:"source_labels,flow,omitempty"`
	Separator    string   `alloy:"separator,attr,optional"     yaml:"separator"`
	// Regex is absent, not spelled out, where nothing is said: some actions take none.
	Regex       *string `alloy:"regex,attr,optional"         yaml:"regex,omitempty"`
	Modulus     uint64  `alloy:"modulus,attr,optional"       yaml:"modulus,omitempty"`
	TargetLabel string  `alloy:"target_label,attr,optional"  yaml:"target_label,omitempty"`
	Replacement string  `alloy:"replacement,attr,optional"   yaml:"replacement"`
	Action      string  `alloy:"action,attr,optional"        yaml:"action"`
}

// SetToDefault gives the values of a rule that says nothing.
func (r *rule) SetToDefault() {
	*r = rule{Separator: ";", Replacement: "$1", Action: "replace"}
}

// Validate says whether Prometheus would take it.
func (r *rule) Validate() error {
	_, err := r.compile()
	return err
}

func (r *rule) compile() (*relabel.Config, error) {
	text, err := yaml.Marshal(r)
	if err != nil {
		return nil, err
	}
	compiled := &relabel.Config{}
	if err := yaml.Unmarshal(text, compiled); err != nil {
		return nil, err
	}
	return compiled, compiled.Validate(model.UTF8Validation)
}

type discoveryKubernetes struct {
	Role      string     `alloy:"role,attr"                yaml:"role"`
	Selectors []selector `alloy:"selectors,block,optional" yaml:"selectors,omitempty"`
}

type selector struct {
	Role  string `alloy:"role,attr"           yaml:"role"`
	Label string `alloy:"label,attr,optional" yaml:"label,omitempty"`
	Field string `alloy:"field,attr,optional" yaml:"field,omitempty"`
}

func (d *discoveryKubernetes) exports() map[string]any        { return map[string]any{"targets": targets{d}} }
func (d *discoveryKubernetes) build(string, *plan) error      { return nil }
func (d *discoveryKubernetes) trace() (origin, []rule, error) { return origin{discovery: d}, nil, nil }

type discoveryRelabel struct {
	Targets targets `alloy:"targets,attr"`
	Rules   []rule  `alloy:"rule,block,optional"`
	tracing bool
}

func (d *discoveryRelabel) exports() map[string]any   { return map[string]any{"output": targets{d}} }
func (d *discoveryRelabel) build(string, *plan) error { return nil }

func (d *discoveryRelabel) trace() (origin, []rule, error) {
	if d.tracing {
		return origin{}, nil, errors.New("its targets lead back to themselves")
	}
	d.tracing = true
	defer func() { d.tracing = false }()
	origin, rules, err := d.Targets.source.trace()
	return origin, append(slices.Clip(rules), d.Rules...), err
}

type exporterUnix struct {
	ProcFSPath string     `alloy:"procfs_path,attr,optional"`
	SysFSPath  string     `alloy:"sysfs_path,attr,optional"`
	RootFSPath string     `alloy:"rootfs_path,attr,optional"`
	NetClass   netClass   `alloy:"netclass,block,optional"`
	NetDev     netDev     `alloy:"netdev,block,optional"`
	FileSystem fileSystem `alloy:"filesystem,block,optional"`
}

type netClass struct {
	IgnoredDevices string `alloy:"ignored_devices,attr,optional"`
}

type netDev struct {
	DeviceExclude string `alloy:"device_exclude,attr,optional"`
}

type fileSystem struct {
	MountPointsExclude string `alloy:"mount_points_exclude,attr,optional"`
	FSTypesExclude     string `alloy:"fs_types_exclude,attr,optional"`
}

func (e *exporterUnix) exports() map[string]any        { return map[string]any{"targets": targets{e}} }
func (e *exporterUnix) trace() (origin, []rule, error) { return origin{exporter: e}, nil, nil }

func (e *exporterUnix) build(_ string, plan *plan) error {
	if plan.exporter != nil {
		return errors.New("this stand-in runs one exporter only")
	}
	plan.exporter = []string{}
	for _, argument := range []struct{ name, value string }{
		{"path.procfs", e.ProcFSPath},
		{"path.sysfs", e.SysFSPath},
		{"path.rootfs", e.RootFSPath},
		{"collector.netclass.ignored-devices", e.NetClass.IgnoredDevices},
		{"collector.netdev.device-exclude", e.NetDev.DeviceExclude},
		{"collector.filesystem.mount-points-exclude", e.FileSystem.MountPointsExclude},
		{"collector.filesystem.fs-types-exclude", e.FileSystem.FSTypesExclude},
	} {
		if argument.value != "" {
			plan.exporter = append(plan.exporter, "--"+argument.name+"="+argument.value)
		}
	}
	return nil
}

type prometheusScrape struct {
	Targets         targets       `alloy:"targets,attr"`
	ForwardTo       []receiver    `alloy:"forward_to,attr"`
	JobName         string        `alloy:"job_name,attr,optional"`
	ScrapeInterval  time.Duration `alloy:"scrape_interval,attr,optional"`
	ScrapeTimeout   time.Duration `alloy:"scrape_timeout,attr,optional"`
	Scheme          string        `alloy:"scheme,attr,optional"`
	MetricsPath     string        `alloy:"metrics_path,attr,optional"`
	HonorLabels     bool          `alloy:"honor_labels,attr,optional"`
	BearerTokenFile string        `alloy:"bearer_token_file,attr,optional"`
	TrackStaleness  bool          `alloy:"track_timestamps_staleness,attr,optional"`
	TLS             *tlsConfig    `alloy:"tls_config,block,optional"`
}

type tlsConfig struct {
	CAFile             string `alloy:"ca_file,attr,optional"              yaml:"ca_file,omitempty"`
	ServerName         string `alloy:"server_name,attr,optional"          yaml:"server_name,omitempty"`
	InsecureSkipVerify bool   `alloy:"insecure_skip_verify,attr,optional" yaml:"insecure_skip_verify,omitempty"`
}

// SetToDefault gives the values of a scrape that says nothing.
func (s *prometheusScrape) SetToDefault() {
	*s = prometheusScrape{
		ScrapeInterval: time.Minute, ScrapeTimeout: 10 * time.Second, Scheme: "http", MetricsPath: "/metrics",
	}
}

func (s *prometheusScrape) exports() map[string]any { return nil }

type prometheusRelabel struct {
	Rules     []rule     `alloy:"rule,block,optional"`
	ForwardTo []receiver `alloy:"forward_to,attr"`
	tracing   bool
}

func (r *prometheusRelabel) exports() map[string]any   { return map[string]any{"receiver": receiver{r}} }
func (r *prometheusRelabel) build(string, *plan) error { return nil }

func (r *prometheusRelabel) trace() ([]rule, error) {
	if r.tracing {
		return nil, errors.New("its samples lead back to themselves")
	}
	r.tracing = true
	defer func() { r.tracing = false }()
	rules, err := traceOnly(r.ForwardTo)
	return append(slices.Clone(r.Rules), rules...), err
}

// traceOnly follows samples on; a Prometheus sends all that it has to wherever it sends, so there is one way only.
func traceOnly(forwardTo []receiver) ([]rule, error) {
	if len(forwardTo) != 1 {
		return nil, fmt.Errorf("this stand-in forwards to one receiver, not to %d", len(forwardTo))
	}
	return forwardTo[0].sink.trace()
}

type prometheusRemoteWrite struct {
	Endpoints      []endpoint        `alloy:"endpoint,block"`
	ExternalLabels map[string]string `alloy:"external_labels,attr,optional"`
}

type endpoint struct {
	URL string `alloy:"url,attr"`
}

func (w *prometheusRemoteWrite) exports() map[string]any {
	return map[string]any{"receiver": receiver{w}}
}
func (w *prometheusRemoteWrite) trace() ([]rule, error) { return nil, nil }

func (w *prometheusRemoteWrite) build(id string, plan *plan) error {
	if plan.prometheus.RemoteWrite != nil {
		return errors.New("this stand-in has one prometheus.remote_write only")
	}
	for i, endpoint := range w.Endpoints {
		name := id
		if i > 0 {
			name = fmt.Sprintf("%s-%d", id, i)
		}
		plan.prometheus.RemoteWrite = append(plan.prometheus.RemoteWrite, remoteWriteConfig{name, endpoint.URL})
	}
	plan.prometheus.Global.ExternalLabels = map[string]string{}
	for name, value := range w.ExternalLabels {
		// Prometheus would take $NAME for a variable of its environment.
		plan.prometheus.Global.ExternalLabels[name] = strings.ReplaceAll(value, "$", "$$")
	}
	return nil
}

type lokiSourceKubernetes struct {
	Targets   targets       `alloy:"targets,attr"`
	ForwardTo []logReceiver `alloy:"forward_to,attr"`
}

func (s *lokiSourceKubernetes) exports() map[string]any { return nil }

type lokiWrite struct {
	Endpoint       endpoint          `alloy:"endpoint,block"`
	ExternalLabels map[string]string `alloy:"external_labels,attr,optional"`
	id             string
}

func (w *lokiWrite) exports() map[string]any { return map[string]any{"receiver": logReceiver{w}} }

func (w *lokiWrite) build(id string, _ *plan) error {
	w.id = id
	return nil
}

type logging struct {
	Level  string `alloy:"level,attr,optional"`
	Format string `alloy:"format,attr,optional"`
}

// SetToDefault gives Alloy's own values.
func (l *logging) SetToDefault() { *l = logging{Level: "info", Format: "logfmt"} }

// Validate refuses what would be ignored.
func (l *logging) Validate() error {
	if l.Format != "logfmt" {
		return fmt.Errorf("this stand-in logs as logfmt, not as %q", l.Format)
	}
	return nil
}

func (l *logging) exports() map[string]any { return nil }

func (l *logging) build(_ string, plan *plan) error {
	plan.logging = *l
	return nil
}
