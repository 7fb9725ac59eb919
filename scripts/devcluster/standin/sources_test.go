package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// source answers as a data source would, and remembers what it was asked.
type source struct {
	*httptest.Server
	asked  []string
	form   url.Values
	header http.Header
}

func newSource(t *testing.T, status int, body string) *source {
	t.Helper()
	source := &source{}
	source.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		source.asked = append(source.asked, r.Method+" "+r.URL.Path)
		source.form, source.header = r.Form, r.Header
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(source.Close)
	return source
}

// unreachable is a URL that nobody answers at.
func unreachable(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(nil)
	server.Close()
	return server.URL
}

// ask sends one query and returns the status, the query's response and the whole answer.
func ask(t *testing.T, base, query string) (int, dataResponse, string) {
	t.Helper()
	status, body := post(t, base+"/api/ds/query", `{"from": "now-1h", "to": "now", "queries": [`+query+`]}`)
	var answer struct{ Results map[string]dataResponse }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return status, answer.Results["A"], body
}

const (
	vector = `{"status": "success", "data": {"resultType": "vector", "result": [
		{"metric": {"__name__": "up", "job": "a"}, "value": [1700000000.5, "1"]},
		{"metric": {"job": "b"}, "value": [1700000000.5, "NaN"]}]}}`
	scalar = `{"status": "success", "data": {"resultType": "scalar", "result": [4, "2"]}}`
	two    = `{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [4, "2"]}]}}`
	lines  = `{"status": "success", "data": {"resultType": "streams", "encodingFlags": ["categorize-labels"], "result": [
		{"stream": {"pod": "a"}, "values": [
			["1700000000000000001", "same", {"structuredMetadata": {"detected_level": "info"}}],
			["1700000000000000001", "same", {"structuredMetadata": {"detected_level": "info"}}],
			["1700000000000000002", "bare"]]}]}}`
	toPrometheus = `"refId": "A", "datasource": {"type": "prometheus", "uid": "prometheus"}`
	toLoki       = `"refId": "A", "datasource": {"type": "loki", "uid": "loki"}`
)

func TestGrafanaAsksADataSourceHowItIs(t *testing.T) {
	prometheus, loki := newSource(t, http.StatusOK, scalar), newSource(t, http.StatusOK, two)
	base, _ := provisionedFor(t, prometheus.URL, loki.URL)
	for uid, words := range map[string]string{
		"prometheus": "Successfully queried the Prometheus API.", "loki": "Data source successfully connected.",
	} {
		status, body := get(t, "grafana", base+"/api/datasources/uid/"+uid+"/health")
		if status != http.StatusOK || !strings.Contains(body, `"OK"`) || !strings.Contains(body, words) {
			t.Errorf("%s: got %d %s", uid, status, body)
		}
	}
	if prometheus.asked[0] != "POST /api/v1/query" || prometheus.form.Get("query") != "1+1" {
		t.Errorf("Prometheus was asked %q %v", prometheus.asked, prometheus.form)
	}
	if loki.asked[0] != "GET /loki/api/v1/query" || loki.form.Get("query") != "vector(1)+vector(1)" {
		t.Errorf("Loki was asked %q %v", loki.asked, loki.form)
	}
	wantStatus(t, http.StatusInternalServerError, "grafana", base+"/api/datasources/uid/none/health")
}

func TestGrafanaSaysWhyADataSourceIsNotHealthy(t *testing.T) {
	elsewhere := newSource(t, http.StatusNotFound, "404 page not found")
	for _, broken := range []struct{ url, words string }{
		{unreachable(t), "connection refused - There was an error returned querying the Prometheus API."},
		{elsewhere.URL, "404 Not Found - There was an error returned querying the Prometheus API."},
		{newSource(t, http.StatusOK, "<html>").URL, "it is non-json"},
	} {
		base, _ := provisionedFor(t, broken.url, broken.url)
		status, body := get(t, "grafana", base+"/api/datasources/uid/prometheus/health")
		if status != http.StatusBadRequest || !strings.Contains(body, `"ERROR"`) || !strings.Contains(body, broken.words) {
			t.Errorf("got %d %s, want %q", status, body, broken.words)
		}
		// Loki's plug-in has no more to say; a query brings the cause.
		status, body = get(t, "grafana", base+"/api/datasources/uid/loki/health")
		if status != http.StatusBadRequest || !strings.Contains(body, "Unable to connect with Loki") {
			t.Errorf("got %d %s", status, body)
		}
	}
}

func TestGrafanaTurnsSamplesIntoFrames(t *testing.T) {
	prometheus := newSource(t, http.StatusOK, vector)
	base, _ := provisionedFor(t, prometheus.URL+"/prefix", "")
	status, response, body := ask(t, base, `{`+toPrometheus+`, "expr": "up", "instant": true, "format": "table"}`)
	if status != http.StatusOK || response.Status != http.StatusOK || len(response.Frames) != 2 {
		t.Fatalf("got %d %s", status, body)
	}
	first, second := response.Frames[0], response.Frames[1]
	if first.Schema.RefID != "A" || first.Schema.Fields[1].Name != "up" || first.Schema.Fields[1].Labels["job"] != "a" {
		t.Errorf("the first frame is %+v", first.Schema)
	}
	if got := fmt.Sprint(first.Data.Values); got != "[[1.7000000005e+12] [1]]" {
		t.Errorf("the first frame has %s", got)
	}
	if second.Data.Values[1][0] != nil || len(second.Data.Entities) != 2 || second.Data.Entities[1].NaN[0] != 0 {
		t.Errorf("the second frame has %+v", second.Data)
	}
	if prometheus.asked[0] != "POST /prefix/api/v1/query" || prometheus.form.Get("query") != "up" {
		t.Errorf("Prometheus was asked %q %v", prometheus.asked, prometheus.form)
	}
}

func TestGrafanaPutsInVariablesAndAlignsARange(t *testing.T) {
	prometheus := newSource(t, http.StatusOK, `{"status": "success", "data": {"resultType": "matrix", "result": []}}`)
	base, _ := provisionedFor(t, prometheus.URL, "")
	expr := `rate(a[$__rate_interval]) + rate(a[${__interval}]) + b[$__range] + $namespace`
	_, response, body := ask(t, base, `{`+toPrometheus+`, "expr": "`+expr+`", "intervalMs": 30000, "maxDataPoints": 100}`)
	if len(response.Frames) != 1 || len(response.Frames[0].Schema.Fields) != 0 || response.Error != "" {
		t.Errorf("no data is %s", body)
	}
	form := prometheus.form
	// An hour in a hundred points is one in 36 s, for which Grafana takes 30 s.
	if want := "rate(a[1m0s]) + rate(a[30s]) + b[3600s] + $namespace"; form.Get("query") != want {
		t.Errorf("asked %q, want %q", form.Get("query"), want)
	}
	var start, end float64
	fmt.Sscan(form.Get("start"), &start)
	fmt.Sscan(form.Get("end"), &end)
	if form.Get("step") != "30" || math.Mod(start, 30) != 0 || end-start != 3600 {
		t.Errorf("asked %v", form)
	}
}

func TestGrafanaTurnsLogLinesIntoAFrame(t *testing.T) {
	loki := newSource(t, http.StatusOK, lines)
	base, _ := provisionedFor(t, "", loki.URL)
	status, response, body := ask(t, base, `{`+toLoki+`, "expr": "{pod=\"a\"}", "queryType": "range", "maxLines": 20}`)
	if status != http.StatusOK || len(response.Frames) != 1 {
		t.Fatalf("got %d %s", status, body)
	}
	values := response.Frames[0].Data.Values
	if len(values) != 6 || len(values[2]) != 3 || values[2][2] != "bare" || values[3][0] != "1700000000000000001" {
		t.Errorf("got %s", body)
	}
	labels := fmt.Sprint(values[0][0], values[4][0])
	if labels != "map[detected_level:info pod:a] map[detected_level:S pod:I]" {
		t.Errorf("labels are %s", labels)
	}
	if values[5][0] == values[5][1] {
		t.Errorf("two lines have one id: %s", body)
	}
	if loki.asked[0] != "GET /loki/api/v1/query_range" || loki.form.Get("limit") != "20" {
		t.Errorf("Loki was asked %q %v", loki.asked, loki.form)
	}
}

func TestGrafanaPassesOnWhatADataSourceHasToSayAgainstAQuery(t *testing.T) {
	refusal := newSource(t, http.StatusBadRequest, `{"status": "error", "errorType": "bad_data", "error": "parse error"}`)
	plain := newSource(t, http.StatusBadRequest, "parse error at line 1, col 1: syntax error")
	elsewhere := newSource(t, http.StatusBadGateway, "no such backend")
	for _, broken := range []struct {
		prometheus, loki, query, words string
		status                         int
	}{
		{refusal.URL, "", toPrometheus, "bad_data: parse error", http.StatusBadRequest},
		{"", plain.URL, toLoki, "parse error at line 1, col 1: syntax error", http.StatusBadRequest},
		{unreachable(t), "", toPrometheus, "connection refused", http.StatusBadGateway},
		{"", unreachable(t), toLoki, "connection refused", http.StatusBadGateway},
		{elsewhere.URL, "", toPrometheus, "status code 502: no such backend", http.StatusBadGateway},
	} {
		base, _ := provisionedFor(t, broken.prometheus, broken.loki)
		status, response, body := ask(t, base, `{`+broken.query+`, "expr": "up", "instant": true}`)
		told := response.Status == broken.status && strings.Contains(response.Error, broken.words)
		if status != http.StatusBadRequest || !told {
			t.Errorf("got %d %s, want %d %q", status, body, broken.status, broken.words)
		}
	}
}

func TestGrafanaRefusesARequestThatIsNone(t *testing.T) {
	base, _ := provisioned(t)
	for body, want := range map[string]int{
		`[`: http.StatusBadRequest,
		`{"from": "now-1h", "to": "now", "queries": []}`:                                         http.StatusBadRequest,
		`{"from": "now-1h", "to": "now", "queries": [{"expr": "up"}]}`:                           http.StatusBadRequest,
		`{"from": "yesterday", "to": "now", "queries": [{"datasource": "prometheus"}]}`:          http.StatusBadRequest,
		`{"from": "now-1h", "to": "now", "queries": [{"datasource": {"uid": "none"}}]}`:          http.StatusNotFound,
		`{"from": "0", "to": "now-1d", "queries": [{"datasource": "none", "refId": "B"}]}`:       http.StatusNotFound,
		`{"from": "now-1h", "to": "now", "queries": [{"datasource": {"uid": "x"}, "expr": 5 }]}`: http.StatusBadRequest,
	} {
		if got, answer := post(t, base+"/api/ds/query", body); got != want {
			t.Errorf("%s: got %d %s, want %d", body, got, answer, want)
		}
	}
}

func TestGrafanaProxiesRequestsWithoutItsOwnCredentials(t *testing.T) {
	prometheus := newSource(t, http.StatusTeapot, "from the source")
	base, _ := provisionedFor(t, prometheus.URL+"/prefix", unreachable(t))
	proxied := as(base, password) + "/api/datasources/proxy/uid/prometheus/api/v1/labels?limit=1"
	status, body := get(t, "grafana", proxied)
	if status != http.StatusTeapot || body != "from the source" || prometheus.form.Get("limit") != "1" {
		t.Errorf("got %d %s", status, body)
	}
	if prometheus.asked[0] != "GET /prefix/api/v1/labels" || prometheus.header.Get("Authorization") != "" {
		t.Errorf("asked %q with %v", prometheus.asked, prometheus.header)
	}
	dangerous := strings.Replace(proxied, "labels", "admin/tsdb/delete_series", 1)
	if status, _ := post(t, dangerous, ""); status != http.StatusForbidden {
		t.Errorf("a dangerous request gets %d", status)
	}
	wantStatus(t, http.StatusBadGateway, "grafana", base+"/api/datasources/proxy/uid/loki/ready")
	wantStatus(t, http.StatusNotFound, "grafana", base+"/api/datasources/proxy/uid/none/ready")
}
