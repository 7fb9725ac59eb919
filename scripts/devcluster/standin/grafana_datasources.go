package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// upstream asks data sources; its deadline is Grafana's own.
var upstream = &http.Client{Timeout: 30 * time.Second}

func (g *grafanaAPI) listDatasources(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, g.datasources)
}

func (g *grafanaAPI) datasource(w http.ResponseWriter, r *http.Request) {
	datasource := g.datasourceByUID(r.PathValue("uid"))
	if datasource == nil {
		reply(w, http.StatusNotFound, message("Data source not found"))
		return
	}
	reply(w, http.StatusOK, datasource)
}

// datasourceByUID is nil if there is none.
func (g *grafanaAPI) datasourceByUID(uid string) *datasource {
	for i := range g.datasources {
		if g.datasources[i].UID == uid {
			return &g.datasources[i]
		}
	}
	return nil
}

func (g *grafanaAPI) health(w http.ResponseWriter, r *http.Request) {
	datasource := g.datasourceByUID(r.PathValue("uid"))
	if datasource == nil {
		// Not 404: Grafana does not tell one that is missing from one that it cannot load.
		reply(w, http.StatusInternalServerError, message("Unable to load datasource metadata"))
		return
	}
	var words string
	var err error
	switch datasource.Type {
	case "prometheus":
		words, err = prometheusHealth(r.Context(), datasource)
	case "loki":
		words, err = lokiHealth(r.Context(), datasource)
	default:
		reply(w, http.StatusNotFound, message("Plugin not registered"))
		return
	}
	if err != nil {
		log.Printf("data source %s (%s) is not healthy: %v", datasource.Name, datasource.URL, err)
		reply(w, http.StatusBadRequest, map[string]string{"status": "ERROR", "message": words})
		return
	}
	reply(w, http.StatusOK, map[string]string{"status": "OK", "message": words})
}

// proxy passes a request on to a data source. That it could not is said in the log alone, as in Grafana.
func (g *grafanaAPI) proxy(w http.ResponseWriter, r *http.Request) {
	datasource := g.datasourceByUID(r.PathValue("uid"))
	if datasource == nil {
		reply(w, http.StatusNotFound, message("Unable to find datasource"))
		return
	}
	target, err := url.Parse(datasource.URL)
	if err != nil {
		reply(w, http.StatusBadRequest, message(fmt.Sprintf("Invalid data source URL: %q", datasource.URL)))
		return
	}
	if datasource.Type == "prometheus" && !prometheusMayBeSent(r.Method, r.PathValue("path")) {
		words := fmt.Sprintf("non allow-listed %ss not allowed on proxied Prometheus datasource", r.Method)
		reply(w, http.StatusForbidden, message(words))
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.Out.URL.Path = "/" + r.PathValue("path")
			request.Out.URL.RawPath = ""
			request.SetURL(target)
			// They are meant for Grafana.
			request.Out.Header.Del("Authorization")
			request.Out.Header.Del("Cookie")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			log.Printf("data source %s: %v", datasource.Name, err)
			w.WriteHeader(statusOf(err, http.StatusBadGateway))
		},
	}
	proxy.ServeHTTP(w, r)
}

// prometheusMayBeSent tells whether Grafana lets such a request through to Prometheus.
func prometheusMayBeSent(method, path string) bool {
	queries := []string{"query", "query_range", "query_exemplars", "series", "labels"}
	endpoint, isQuery := strings.CutPrefix(path, "api/v1/")
	return method == http.MethodGet || method == http.MethodPost && isQuery && slices.Contains(queries, endpoint)
}

// answer is what a data source said.
type answer struct {
	code   int
	status string
	body   []byte
}

// ask sends a query to an endpoint of a data source's own API.
func (d *datasource) ask(
	ctx context.Context, method, endpoint string, values url.Values, header http.Header,
) (answer, error) {
	target, err := url.ParseRequestURI(d.URL)
	if err != nil {
		return answer{}, err
	}
	target.Path = path.Join("/", target.Path, endpoint)
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(values.Encode())
	} else {
		target.RawQuery = values.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := upstream.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return answer{code: response.StatusCode, status: response.Status, body: content}, err
}

// statusOf is the status that stands for an error without an answer, or else fallback.
func statusOf(err error, fallback int) int {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return http.StatusGatewayTimeout
	}
	return fallback
}
