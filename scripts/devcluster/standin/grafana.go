package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"os"
)

// grafanaAPI answers as Grafana would for one organisation, one admin and, if so configured, anonymous viewers.
type grafanaAPI struct {
	admin       account
	session     string // the cookie of whoever logged in
	anonymous   bool
	datasources []datasource
	providers   []provider
}

type access int

const (
	nobody access = iota
	viewer
	admin
)

func grafana(args) ([]endpoint, error) {
	account, err := openAccount(setting("GF_PATHS_DATA", "/var/lib/grafana"))
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	provisioning := setting("GF_PATHS_PROVISIONING", "/etc/grafana/provisioning")
	datasources, err := readDatasources(provisioning)
	if err != nil {
		return nil, fmt.Errorf("provisioning data sources: %w", err)
	}
	providers, err := readProviders(provisioning)
	if err != nil {
		return nil, fmt.Errorf("provisioning dashboards: %w", err)
	}
	const onlyOrganisation = "Main Org."
	api := &grafanaAPI{
		admin:   account,
		session: rand.Text(),
		anonymous: os.Getenv("GF_AUTH_ANONYMOUS_ENABLED") == "true" &&
			setting("GF_AUTH_ANONYMOUS_ORG_NAME", onlyOrganisation) == onlyOrganisation,
		datasources: datasources,
		providers:   providers,
	}
	address := net.JoinHostPort(os.Getenv("GF_SERVER_HTTP_ADDR"), setting("GF_SERVER_HTTP_PORT", "3000"))
	return []endpoint{{address: address, handler: api.routes()}}, nil
}

// setting is an environment variable's value, or what Grafana takes without it.
func setting(name, fallback string) string {
	return cmp.Or(os.Getenv(name), fallback)
}

func (g *grafanaAPI) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"database": "ok", "version": "stand-in", "commit": "stand-in"})
	})
	mux.HandleFunc("POST /login", g.login)
	mux.HandleFunc("GET /login", text("A stand-in for Grafana: POST user and password here as JSON."))
	mux.HandleFunc("GET /{$}", g.home)
	mux.HandleFunc("GET /api/user", g.require(admin, g.user))
	mux.HandleFunc("GET /api/datasources", g.require(admin, g.listDatasources))
	mux.HandleFunc("GET /api/datasources/uid/{uid}", g.require(admin, g.datasource))
	mux.HandleFunc("GET /api/search", g.require(viewer, g.search))
	mux.HandleFunc("GET /api/dashboards/uid/{uid}", g.require(viewer, g.dashboard))
	return mux
}

// access tells what a request may do. Wrong credentials are worth less than none.
func (g *grafanaAPI) access(r *http.Request) access {
	if user, password, given := r.BasicAuth(); given {
		if g.admin.matches(user, password) {
			return admin
		}
		return nobody
	}
	if cookie, err := r.Cookie("grafana_session"); err == nil && cookie.Value == g.session {
		return admin
	}
	if g.anonymous {
		return viewer
	}
	return nobody
}

func (g *grafanaAPI) require(least access, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch given := g.access(r); {
		case given >= least:
			next(w, r)
		case given == viewer && r.URL.Path != "/api/user":
			reply(w, http.StatusForbidden, message("You'll need additional permissions to perform this action."))
		default:
			reply(w, http.StatusUnauthorized, message("Unauthorized"))
		}
	}
}

func message(words string) map[string]string {
	return map[string]string{"message": words}
}

func (g *grafanaAPI) login(w http.ResponseWriter, r *http.Request) {
	var credentials struct{ User, Password string }
	if err := json.NewDecoder(r.Body).Decode(&credentials); err != nil {
		reply(w, http.StatusBadRequest, message("bad login data"))
		return
	}
	if !g.admin.matches(credentials.User, credentials.Password) {
		reply(w, http.StatusUnauthorized, message("Invalid username or password"))
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "grafana_session", Value: g.session, Path: "/", HttpOnly: true})
	reply(w, http.StatusOK, message("Logged in"))
}

func (g *grafanaAPI) user(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"id": 1, "login": g.admin.User, "orgId": 1, "isGrafanaAdmin": true})
}

func (g *grafanaAPI) listDatasources(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, g.datasources)
}

func (g *grafanaAPI) datasource(w http.ResponseWriter, r *http.Request) {
	for _, datasource := range g.datasources {
		if datasource.UID == r.PathValue("uid") {
			reply(w, http.StatusOK, datasource)
			return
		}
	}
	reply(w, http.StatusNotFound, message("Data source not found"))
}

func (g *grafanaAPI) search(w http.ResponseWriter, _ *http.Request) {
	dashboards, err := readDashboards(g.providers)
	if err != nil {
		reply(w, http.StatusInternalServerError, message(err.Error()))
		return
	}
	found := []map[string]any{}
	for _, dashboard := range dashboards {
		found = append(found, map[string]any{
			"uid": dashboard["uid"], "title": dashboard["title"], "tags": dashboard["tags"],
			"type": "dash-db", "url": fmt.Sprintf("/d/%v", dashboard["uid"]),
		})
	}
	reply(w, http.StatusOK, found)
}

func (g *grafanaAPI) dashboard(w http.ResponseWriter, r *http.Request) {
	dashboards, err := readDashboards(g.providers)
	if err != nil {
		reply(w, http.StatusInternalServerError, message(err.Error()))
		return
	}
	for _, dashboard := range dashboards {
		if dashboard["uid"] == r.PathValue("uid") {
			reply(w, http.StatusOK, map[string]any{"dashboard": dashboard, "meta": map[string]any{"provisioned": true}})
			return
		}
	}
	reply(w, http.StatusNotFound, message("Dashboard not found"))
}

// home is for whoever opens the address in a browser and wonders.
func (g *grafanaAPI) home(w http.ResponseWriter, r *http.Request) {
	if g.access(r) == nobody {
		http.Redirect(w, r, "/login", http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!doctype html><title>Not Grafana</title><h1>A stand-in for Grafana, not the real program</h1><ul>")
	dashboards, _ := readDashboards(g.providers)
	for _, dashboard := range dashboards {
		fmt.Fprintf(w, "<li>%s", html.EscapeString(fmt.Sprint(dashboard["title"])))
	}
	fmt.Fprintln(w, "</ul>")
}
