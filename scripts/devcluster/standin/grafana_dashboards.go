package main

import (
	"encoding/json"
	"fmt"
	"net/http"
)

func (g *grafanaAPI) search(w http.ResponseWriter, r *http.Request) {
	dashboards, err := readDashboards(g.providers)
	if err != nil {
		reply(w, http.StatusInternalServerError, message(err.Error()))
		return
	}
	found := []map[string]any{}
	// The other types that one can search for are folders, of which there are none.
	if kind := r.URL.Query().Get("type"); kind == "" || kind == "dash-db" {
		for _, dashboard := range dashboards {
			found = append(found, map[string]any{
				"uid": dashboard["uid"], "title": dashboard["title"], "tags": dashboard["tags"],
				"type": "dash-db", "url": fmt.Sprintf("/d/%v", dashboard["uid"]),
			})
		}
	}
	reply(w, http.StatusOK, found)
}

func (g *grafanaAPI) dashboard(w http.ResponseWriter, r *http.Request) {
	dashboard, err := g.dashboardByUID(r.PathValue("uid"))
	switch {
	case err != nil:
		reply(w, http.StatusInternalServerError, message(err.Error()))
	case dashboard == nil:
		reply(w, http.StatusNotFound, message("Dashboard not found"))
	default:
		caller := g.caller(r)
		mayEdit := caller.role >= editor
		reply(w, http.StatusOK, map[string]any{"dashboard": dashboard, "meta": map[string]any{
			"type": "db", "provisioned": true, "url": fmt.Sprintf("/d/%v", dashboard["uid"]), "folderTitle": "General",
			"canSave": mayEdit, "canEdit": mayEdit, "canDelete": mayEdit,
			"canAdmin": caller.role >= admin, "canStar": caller.loggedIn,
		}})
	}
}

// dashboardByUID is nil if there is none.
func (g *grafanaAPI) dashboardByUID(uid any) (map[string]any, error) {
	dashboards, err := readDashboards(g.providers)
	for _, dashboard := range dashboards {
		if dashboard["uid"] == uid {
			return dashboard, nil
		}
	}
	return nil, err
}

// saveDashboard refuses what Grafana refuses to those who may save; it has no place to keep anything.
func (g *grafanaAPI) saveDashboard(w http.ResponseWriter, r *http.Request) {
	var command struct{ Dashboard map[string]any }
	if err := json.NewDecoder(r.Body).Decode(&command); err != nil {
		reply(w, http.StatusBadRequest, message("bad request data"))
		return
	}
	if title, _ := command.Dashboard["title"].(string); title == "" {
		reply(w, http.StatusBadRequest,
			map[string]string{"status": "empty-name", "message": "Dashboard title cannot be empty"})
		return
	}
	provisioned, err := g.dashboardByUID(command.Dashboard["uid"])
	switch {
	case err != nil:
		reply(w, http.StatusInternalServerError, message(err.Error()))
	case provisioned != nil:
		reply(w, http.StatusBadRequest, message("Cannot save provisioned dashboard"))
	default:
		reply(w, http.StatusNotImplemented, message("this is a stand-in for Grafana, which keeps no dashboards"))
	}
}
