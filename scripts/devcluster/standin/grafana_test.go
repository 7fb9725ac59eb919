package main

import (
	"encoding/json"
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
	write(t, filepath.Join(folder, "datasources", "datasources.yaml"), read("datasources.yaml"))
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

func TestGrafanaServesTheStacksDataSourcesToTheAdminAlone(t *testing.T) {
	base, _ := provisioned(t)
	_, body := get(t, "grafana", as(base, password)+"/api/datasources")
	var datasources []datasource
	if err := json.Unmarshal([]byte(body), &datasources); err != nil {
		t.Fatal(err)
	}
	if len(datasources) != 2 || datasources[0].UID != "prometheus" || !datasources[0].IsDefault || datasources[1].UID != "loki" {
		t.Errorf("data sources are %s", body)
	}
	wantStatus(t, http.StatusOK, "grafana", as(base, password)+"/api/datasources/uid/loki")
	wantStatus(t, http.StatusNotFound, "grafana", as(base, password)+"/api/datasources/uid/none")
	wantStatus(t, http.StatusForbidden, "grafana", base+"/api/datasources")
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

	login := func(password string) *http.Response {
		body, _ := json.Marshal(map[string]string{"user": "admin", "password": password})
		response, err := http.Post(base+"/login", "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	if got := login("wrong").StatusCode; got != http.StatusUnauthorized {
		t.Errorf("a wrong password gets %d", got)
	}
	request, _ := http.NewRequest(http.MethodGet, base+"/api/user", nil)
	for _, cookie := range login(password).Cookies() {
		request.AddCookie(cookie)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the cookie gets %d", response.StatusCode)
	}
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
