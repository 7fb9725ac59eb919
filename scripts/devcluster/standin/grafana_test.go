package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const password = "correct horse"

// provisioned starts Grafana's stand-in on the stack's own files, laid out as the pod mounts them.
func provisioned(t *testing.T) (base, data string) {
	t.Helper()
	return provisionedFor(t, "http://prometheus.monitoring.svc:9090", "http://loki.monitoring.svc:3100")
}

// provisionedFor has the stack's data sources at other addresses.
func provisionedFor(t *testing.T, prometheus, loki string) (base, data string) {
	t.Helper()
	folder := t.TempDir()
	data = filepath.Join(folder, "data")
	dashboards := filepath.Join(data, "dashboards")
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(manifests, "grafana", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	moved := strings.NewReplacer("http://prometheus.monitoring.svc:9090", prometheus, "http://loki.monitoring.svc:3100", loki)
	write(t, filepath.Join(folder, "datasources", "datasources.yaml"), moved.Replace(read("datasources.yaml")))
	provider := strings.Replace(read("dashboard-provider.yaml"), "/var/lib/grafana/dashboards", dashboards, 1)
	write(t, filepath.Join(folder, "dashboards", "dashboard-provider.yaml"), provider)
	for _, name := range []string{"severed-health.json", "hpa-live-status.json"} {
		content := read("dashboards/" + name)
		write(t, filepath.Join(dashboards, name), content)
		// A mounted ConfigMap has each file a second time, in a folder of the kubelet's.
		write(t, filepath.Join(dashboards, "..2026_11_24", name), content)
	}
	for name, value := range map[string]string{
		"GF_PATHS_DATA": data, "GF_PATHS_PROVISIONING": folder, "GF_SERVER_HTTP_ADDR": "127.0.0.1", "GF_SERVER_HTTP_PORT": "0",
		"GF_SECURITY_ADMIN_USER": "admin", "GF_SECURITY_ADMIN_PASSWORD": password, "GF_AUTH_ANONYMOUS_ENABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return "http://" + serve(t, "grafana")[0], data
}

// as puts credentials into a URL.
func as(base, password string) string {
	return strings.Replace(base, "http://", "http://admin:"+strings.ReplaceAll(password, " ", "%20")+"@", 1)
}

func TestGrafanaOwnsUpInItsHealth(t *testing.T) {
	base, _ := provisioned(t)
	status, body := get(t, "grafana", base+"/api/health")
	if status != http.StatusOK || !strings.Contains(body, `"database":"ok"`) || !strings.Contains(body, "stand-in") {
		t.Errorf("got %d %s", status, body)
	}
	if _, body := get(t, "grafana", base+"/"); !strings.Contains(body, "not the real program") {
		t.Errorf("the page for people is %s", body)
	}
}

func TestGrafanaServesTheStacksDataSourcesToWhoeverMayView(t *testing.T) {
	base, _ := provisioned(t)
	_, body := get(t, "grafana", base+"/api/datasources")
	var datasources []datasource
	if err := json.Unmarshal([]byte(body), &datasources); err != nil {
		t.Fatal(err)
	}
	if len(datasources) != 2 || datasources[0].UID != "prometheus" || !datasources[0].IsDefault || datasources[1].UID != "loki" {
		t.Errorf("data sources are %s", body)
	}
	if datasources[0].JSONData["timeInterval"] != "15s" || !datasources[0].ReadOnly {
		t.Errorf("the first data source is %s", body)
	}
	wantStatus(t, http.StatusOK, "grafana", as(base, password)+"/api/datasources/uid/loki")
	wantStatus(t, http.StatusNotFound, "grafana", as(base, password)+"/api/datasources/uid/none")
	wantStatus(t, http.StatusUnauthorized, "grafana", as(base, "wrong")+"/api/datasources")
}

func TestGrafanaShowsTheStacksDashboardsToAnyone(t *testing.T) {
	base, _ := provisioned(t)
	_, body := get(t, "grafana", base+"/api/search?type=dash-db")
	var found []struct{ UID, Title string }
	if err := json.Unmarshal([]byte(body), &found); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Title != "HPA Live Status" || found[1].Title != "Cluster Health" {
		t.Errorf("found %s", body)
	}
	for _, dashboard := range found {
		wantStatus(t, http.StatusOK, "grafana", base+"/api/dashboards/uid/"+dashboard.UID)
	}
	wantStatus(t, http.StatusNotFound, "grafana", base+"/api/dashboards/uid/none")
	wantStatus(t, http.StatusUnauthorized, "grafana", as(base, "wrong")+"/api/search")
}

func TestGrafanaShowsNothingToAnyoneIfNotToldTo(t *testing.T) {
	provisioned(t)
	t.Setenv("GF_AUTH_ANONYMOUS_ENABLED", "false")
	base := "http://" + serve(t, "grafana")[0]
	wantStatus(t, http.StatusUnauthorized, "grafana", base+"/api/search")
	wantStatus(t, http.StatusOK, "grafana", as(base, password)+"/api/search")
}

func TestGrafanaLogsInByPasswordAndCookie(t *testing.T) {
	base, _ := provisioned(t)
	wantStatus(t, http.StatusUnauthorized, "grafana", base+"/api/user")
	wantStatus(t, http.StatusOK, "grafana", as(base, password)+"/api/user")

	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var cookies []*http.Cookie
	send := func(method, path, body string) *http.Response {
		request, _ := http.NewRequest(method, base+path, strings.NewReader(body))
		for _, cookie := range cookies {
			request.AddCookie(cookie)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	want := func(status int, response *http.Response) {
		t.Helper()
		if response.StatusCode != status {
			t.Errorf("%s gets %d, want %d", response.Request.URL.Path, response.StatusCode, status)
		}
	}
	want(http.StatusUnauthorized, send(http.MethodPost, "/login", `{"user": "admin", "password": "wrong"}`))
	login := send(http.MethodPost, "/login", `{"user": "admin", "password": "`+password+`"}`)
	want(http.StatusOK, login)
	cookies = login.Cookies()
	want(http.StatusOK, send(http.MethodGet, "/api/user", ""))
	want(http.StatusFound, send(http.MethodGet, "/logout", ""))
	want(http.StatusUnauthorized, send(http.MethodGet, "/api/user", ""))
}

func TestGrafanaLetsVisitorsDoWhatTheirRoleMayAndNoMore(t *testing.T) {
	provisioned(t)
	mine := `{"dashboard": {"title": "mine"}}`
	provisioned := `{"dashboard": {"uid": "hpa-live-status", "title": "HPA Live Status"}}`
	for _, visitor := range []struct {
		role                          string
		search, save, saveProvisioned int
		canEdit                       string
	}{
		{"", http.StatusOK, http.StatusForbidden, http.StatusForbidden, `"canEdit":false`},
		{"Viewer", http.StatusOK, http.StatusForbidden, http.StatusForbidden, `"canEdit":false`},
		{"Editor", http.StatusOK, http.StatusNotImplemented, http.StatusBadRequest, `"canEdit":true`},
		{"Admin", http.StatusOK, http.StatusNotImplemented, http.StatusBadRequest, `"canEdit":true`},
		{"None", http.StatusForbidden, http.StatusForbidden, http.StatusForbidden, `"Access denied"`},
		{"viewer", http.StatusForbidden, http.StatusForbidden, http.StatusForbidden, `"Access denied"`},
	} {
		t.Setenv("GF_AUTH_ANONYMOUS_ORG_ROLE", visitor.role)
		base := "http://" + serve(t, "grafana")[0]
		wantStatus(t, visitor.search, "grafana", base+"/api/search")
		wantStatus(t, http.StatusUnauthorized, "grafana", base+"/api/user")
		_, dashboard := get(t, "grafana", base+"/api/dashboards/uid/hpa-live-status")
		if !strings.Contains(dashboard, visitor.canEdit) {
			t.Errorf("%q: the dashboard has no %s: %s", visitor.role, visitor.canEdit, dashboard)
		}
		for body, want := range map[string]int{mine: visitor.save, provisioned: visitor.saveProvisioned} {
			if got, answer := post(t, base+"/api/dashboards/db", body); got != want {
				t.Errorf("%q saves %s: %d %s, want %d", visitor.role, body, got, answer, want)
			}
		}
	}
	t.Setenv("GF_AUTH_ANONYMOUS_ENABLED", "false")
	base := "http://" + serve(t, "grafana")[0]
	if got, _ := post(t, base+"/api/dashboards/db", "{}"); got != http.StatusUnauthorized {
		t.Errorf("a stranger who saves gets %d", got)
	}
	if got, _ := post(t, as(base, password)+"/api/dashboards/db", "{}"); got != http.StatusBadRequest {
		t.Errorf("the admin who saves nothing gets %d", got)
	}
}

// post sends JSON to Grafana's stand-in and returns status and body.
func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("X-Stand-In") != "grafana" {
		t.Errorf("%s does not own up to being a stand-in's", url)
	}
	return response.StatusCode, string(content)
}

func TestGrafanaKeepsThePasswordThatItsDatabaseWasMadeWith(t *testing.T) {
	_, data := provisioned(t)
	t.Setenv("GF_SECURITY_ADMIN_PASSWORD", "another")
	base := "http://" + serve(t, "grafana")[0]
	wantStatus(t, http.StatusOK, "grafana", as(base, password)+"/api/user")
	wantStatus(t, http.StatusUnauthorized, "grafana", as(base, "another")+"/api/user")

	database, err := os.ReadFile(filepath.Join(data, "grafana.db"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(database), password) {
		t.Error("the password itself is in the database")
	}
}

func TestGrafanaRefusesABrokenFileAndAnUnwritableFolder(t *testing.T) {
	provisioned(t)
	sources := filepath.Join(os.Getenv("GF_PATHS_PROVISIONING"), "datasources")
	second := write(t, filepath.Join(sources, "second.yaml"), "datasources: [{name: b, type: loki, isDefault: true}]")
	refuse(t, "only one data source", "grafana")
	write(t, second, "datasources: [")
	refuse(t, "provisioning data sources", "grafana")
	t.Setenv("GF_PATHS_DATA", unwritable(t))
	refuse(t, "opening the database", "grafana")
}
