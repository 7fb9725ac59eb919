package main

import (
	"cmp"
	"fmt"
	"html"
	"net"
	"net/http"
	"os"
)

// grafanaAPI answers as Grafana would for one organisation, one admin and, if so configured, anonymous visitors. What
// it says of a data source it has asked the data source, at the URL that was provisioned.
type grafanaAPI struct {
	admin       account
	sessions    sessions
	anonymous   role // what a visitor may do who has not logged in
	datasources []datasource
	providers   []provider
}

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
	api := &grafanaAPI{admin: account, anonymous: anonymousRole(), datasources: datasources, providers: providers}
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
	mux.HandleFunc("GET /logout", g.logout)
	mux.HandleFunc("GET /{$}", g.home)
	mux.HandleFunc("GET /api/user", g.user)

	// Without an enterprise licence every viewer may read and query every data source.
	mux.HandleFunc("GET /api/datasources", g.require(viewer, "datasources:read", g.listDatasources))
	mux.HandleFunc("GET /api/datasources/uid/{uid}", g.require(viewer, "datasources:read", g.datasource))
	mux.HandleFunc("GET /api/datasources/uid/{uid}/health", g.require(viewer, "datasources:query", g.health))
	mux.HandleFunc("/api/datasources/proxy/uid/{uid}/{path...}", g.require(viewer, "datasources:query", g.proxy))
	mux.HandleFunc("POST /api/ds/query", g.require(viewer, "datasources:query", g.query))

	mux.HandleFunc("GET /api/search", g.require(viewer, "dashboards:read", g.search))
	mux.HandleFunc("GET /api/dashboards/uid/{uid}", g.require(viewer, "dashboards:read", g.dashboard))
	mux.HandleFunc("POST /api/dashboards/db",
		g.require(editor, "any of dashboards:create, dashboards:write", g.saveDashboard))
	return mux
}

// home is for whoever opens the address in a browser and wonders.
func (g *grafanaAPI) home(w http.ResponseWriter, r *http.Request) {
	if g.caller(r).role == nobody {
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
