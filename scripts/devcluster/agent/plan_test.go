package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// ours is the configuration that the stack mounts.
const ours = "../../../manifests/alloy/config.alloy"

func loadOurs(t *testing.T) *plan {
	t.Helper()
	t.Setenv("NODE_NAME", "node-1")
	t.Setenv("CLUSTER_NAME", "a $mall one")
	t.Setenv("PROM_URL", "http://prometheus:9090/api/v1/write")
	t.Setenv("LOKI_URL", "http://loki:3100/loki/api/v1/push")
	t.Setenv("HOSTNAME", "host-1")
	text, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := load(ours, text)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestPrometheusTakesWhatOurConfigurationBecomes(t *testing.T) {
	text, err := loadOurs(t).prometheus.yaml("127.0.0.1:1234")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(string(text), promslog.NewNopLogger())
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if got := loaded.GlobalConfig.ExternalLabels.Get("cluster"); got != "a $mall one" {
		t.Errorf("cluster is %q", got)
	}
	if got := loaded.RemoteWriteConfigs[0].URL.String(); got != "http://prometheus:9090/api/v1/write" {
		t.Errorf("remote write goes to %q", got)
	}
	scrapes := map[string]*config.ScrapeConfig{}
	for _, scrape := range loaded.ScrapeConfigs {
		scrapes[strings.TrimPrefix(scrape.JobName, "prometheus.scrape.")] = scrape
		if scrape.ScrapeInterval.String() != "15s" {
			t.Errorf("%s every %s", scrape.JobName, scrape.ScrapeInterval)
		}
	}
	for name, field := range map[string]string{
		"blog": "spec.nodeName=node-1", "annotated": "spec.nodeName=node-1", "cadvisor": "metadata.name=node-1",
	} {
		found := scrapes[name].ServiceDiscoveryConfigs[0].(*kubernetes.SDConfig)
		if len(found.Selectors) != 1 || found.Selectors[0].Field != field {
			t.Errorf("%s selects %+v", name, found.Selectors)
		}
	}
	cadvisor := scrapes["cadvisor"]
	if cadvisor.Scheme != "https" || cadvisor.MetricsPath != "/metrics/cadvisor" || !cadvisor.TrackTimestampsStaleness ||
		!cadvisor.HTTPClientConfig.TLSConfig.InsecureSkipVerify ||
		cadvisor.HTTPClientConfig.Authorization.CredentialsFile != "/var/run/secrets/kubernetes.io/serviceaccount/token" {
		t.Errorf("cAdvisor is read by %+v", cadvisor)
	}
	if len(cadvisor.MetricRelabelConfigs) != 2 || len(scrapes["host"].MetricRelabelConfigs) != 0 {
		t.Error("samples of cAdvisor are filtered by two rules, and no others")
	}
	static := scrapes["host"].ServiceDiscoveryConfigs[0].(discovery.StaticConfig)
	if got := static[0].Targets[0]["__address__"]; got != "127.0.0.1:1234" {
		t.Errorf("the exporter is at %s", got)
	}
}

func TestTargetsEndUpWithTheLabelsThatAlloyGives(t *testing.T) {
	scrapes := map[string]scrapeConfig{}
	for _, scrape := range loadOurs(t).prometheus.ScrapeConfigs {
		scrapes[scrape.JobName] = scrape
	}
	pod := func(pairs ...string) map[string]string {
		found := map[string]string{
			"__address__":                                 "10.0.0.1:80",
			"__meta_kubernetes_namespace":                 "shop",
			"__meta_kubernetes_pod_name":                  "till-0",
			"__meta_kubernetes_pod_node_name":             "node-1",
			"__meta_kubernetes_pod_ip":                    "10.0.0.1",
			"__meta_kubernetes_pod_phase":                 "Running",
			"__meta_kubernetes_pod_container_port_number": "80",
		}
		for i := 0; i < len(pairs); i += 2 {
			found["__meta_kubernetes_"+pairs[i]] = pairs[i+1]
		}
		return found
	}
	const place = ` namespace="shop", node="node-1", pod="till-0"}`
	for name, test := range map[string]struct {
		scrape string
		found  map[string]string
		want   string
	}{
		"the blog": {
			"blog", pod("pod_label_app", "severed-blog"), `{__address__="10.0.0.1:9113", job="integrations/nginx",` + place,
		},
		"another is not the blog": {"blog", pod("pod_label_app", "shop"), ""},
		"one that is over":        {"blog", pod("pod_label_app", "severed-blog", "pod_phase", "Failed"), ""},
		"annotated": {
			"annotated", pod("pod_annotation_prometheus_io_scrape", "true", "pod_annotation_prometheus_io_port", "80"),
			`{__address__="10.0.0.1:80", job="annotated-pods",` + place,
		},
		"annotated with another port": {
			"annotated", pod("pod_annotation_prometheus_io_scrape", "true", "pod_annotation_prometheus_io_port", "81"), "",
		},
		"a node": {
			"cadvisor", map[string]string{"__address__": "10.0.0.2:10250", "__meta_kubernetes_node_name": "node-1"},
			`{__address__="10.0.0.2:10250", job="integrations/kubernetes/cadvisor", node="node-1"}`,
		},
		"the host": {
			"host", scrapes["prometheus.scrape.host"].Static[0].Labels, `{instance="node-1", job="integrations/unix", node="node-1"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			scrape := scrapes["prometheus.scrape."+test.scrape]
			builder := labels.NewBuilder(labels.FromMap(test.found))
			if test.found["job"] == "" {
				builder.Set("job", scrape.JobName)
			}
			got := ""
			if relabel.ProcessBuilder(builder, compiled(t, scrape.Relabel)...) {
				builder.Range(func(label labels.Label) {
					if strings.HasPrefix(label.Name, "__meta_") {
						builder.Del(label.Name)
					}
				})
				got = builder.Labels().String()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func compiled(t *testing.T, rules []rule) []*relabel.Config {
	t.Helper()
	var all []*relabel.Config
	for _, rule := range rules {
		one, err := rule.compile()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func TestLogsOfContainersAreLabelledAsByAlloy(t *testing.T) {
	source := loadOurs(t).logs[0]
	if got := source.discovery.Selectors[0].Field; got != "spec.nodeName=node-1" {
		t.Errorf("selects %q", got)
	}
	container := func(name, port string) model.LabelSet {
		return model.LabelSet{
			"__address__": "10.0.0.1", "__meta_kubernetes_pod_container_name": model.LabelValue(name),
			"__meta_kubernetes_pod_container_port_number": model.LabelValue(port),
		}
	}
	follower := follower{source: source}
	wanted := follower.wanted(&targetgroup.Group{
		Labels: model.LabelSet{
			"__meta_kubernetes_namespace": "shop", "__meta_kubernetes_pod_name": "till-0", "__meta_kubernetes_pod_uid": "u",
			"__meta_kubernetes_pod_node_name": "node-1", "__meta_kubernetes_pod_label_app": "till",
		},
		Targets: []model.LabelSet{container("web", "80"), container("web", "81"), container("side", ""), {"__address__": ""}},
	})
	var got []string
	for _, labels := range wanted {
		got = append(got, labels.String())
	}
	slices.Sort(got)
	want := []string{
		`{app="till", cluster="a $mall one", container="side", instance="shop/till-0:side", job="shop/side", namespace="shop", node="node-1", pod="till-0"}`,
		`{app="till", cluster="a $mall one", container="web", instance="shop/till-0:web", job="shop/web", namespace="shop", node="node-1", pod="till-0"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestTheExporterReadsTheNodeWhereItIsMounted(t *testing.T) {
	got := loadOurs(t).exporter
	for _, want := range []string{
		"--path.procfs=/host/proc", "--path.sysfs=/host/sys", "--path.rootfs=/host/root",
		"--collector.netclass.ignored-devices=^(veth.*|cni.*|flannel.*)$",
		"--collector.netdev.device-exclude=^(veth.*|cni.*|flannel.*)$",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in %q", want, got)
		}
	}
	if len(got) != 6 {
		t.Errorf("%q", got)
	}
}

func TestWhatIsNotKnownIsRefusedWithItsPlace(t *testing.T) {
	const write = "prometheus.remote_write \"w\" {\n\tendpoint {\n\t\turl = \"http://x\"\n\t}\n}\n"
	for name, test := range map[string]struct{ text, want string }{
		"component":            {"\nmimir.rules.kubernetes \"r\" {\n}\n", "c.alloy:2:1: mimir.rules.kubernetes.r: this stand-in does not know"},
		"argument":             {"logging {\n\tlevels = \"info\"\n}\n", "c.alloy:2:2: unrecognized attribute name \"levels\""},
		"block":                {"logging {\n\twrite_to {\n\t}\n}\n", "c.alloy:2:2: unrecognized block name \"write_to\""},
		"format":               {"logging {\n\tformat = \"json\"\n}\n", "c.alloy:1:1: logging: this stand-in logs as logfmt"},
		"export":               {write + "prometheus.relabel \"r\" {\n\tforward_to = [prometheus.remote_write.w.targets]\n}\n", "c.alloy:7:"},
		"component not there":  {"prometheus.relabel \"r\" {\n\tforward_to = [prometheus.remote_write.w.receiver]\n}\n", "c.alloy:2:"},
		"action":               {write + "prometheus.relabel \"r\" {\n\trule {\n\t\taction = \"shout\"\n\t}\n\tforward_to = []\n}\n", "c.alloy:6:1: prometheus.relabel.r: unknown relabel action \"shout\""},
		"circle":               {"discovery.relabel \"a\" {\n\ttargets = discovery.relabel.a.output\n}\nprometheus.scrape \"s\" {\n\ttargets = discovery.relabel.a.output\n\tforward_to = []\n}\n", "c.alloy:4:1: prometheus.scrape.s: its targets lead back"},
		"two ways for samples": {write + "discovery.kubernetes \"n\" {\n\trole = \"node\"\n}\nprometheus.scrape \"s\" {\n\ttargets = discovery.kubernetes.n.targets\n\tforward_to = [prometheus.remote_write.w.receiver, prometheus.remote_write.w.receiver]\n}\n", "c.alloy:9:1: prometheus.scrape.s: this stand-in forwards to one receiver"},
		"kind of receiver":     {write + "discovery.kubernetes \"n\" {\n\trole = \"pod\"\n}\nloki.source.kubernetes \"s\" {\n\ttargets = discovery.kubernetes.n.targets\n\tforward_to = [prometheus.remote_write.w.receiver]\n}\n", "c.alloy:11:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load("c.alloy", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
