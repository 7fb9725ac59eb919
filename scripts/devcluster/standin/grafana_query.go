package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// query is one of a request's, as the front end sends it; each kind of data source reads what it knows.
type query struct {
	RefID         string
	Datasource    json.RawMessage
	Expr          string
	Instant       bool
	Range         bool
	Interval      string
	IntervalMS    float64
	MaxDataPoints int64

	QueryType string
	Direction string
	MaxLines  int64
	Step      string

	from, to time.Time
}

// every is the interval of the request: as long as two points of a graph are apart.
func (q *query) every() time.Duration {
	if q.IntervalMS == 0 {
		return time.Second
	}
	return time.Duration(q.IntervalMS * float64(time.Millisecond))
}

func (g *grafanaAPI) query(w http.ResponseWriter, r *http.Request) {
	var request struct {
		From, To string
		Queries  []query
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		reply(w, http.StatusBadRequest, message("bad request data"))
		return
	}
	if len(request.Queries) == 0 {
		reply(w, http.StatusBadRequest, message("No queries found"))
		return
	}
	now := time.Now()
	from, fromErr := parseTime(request.From, now)
	to, toErr := parseTime(request.To, now)
	if err := errors.Join(fromErr, toErr); err != nil {
		reply(w, http.StatusBadRequest, message(err.Error()))
		return
	}

	// All of them are looked up before the first is asked.
	var datasources []*datasource
	for _, query := range request.Queries {
		uid := query.uid()
		if uid == "" {
			reply(w, http.StatusBadRequest, message("Query does not contain a valid data source identifier"))
			return
		}
		datasource := g.datasourceByUID(uid)
		if datasource == nil {
			reply(w, http.StatusNotFound, message("Data source not found"))
			return
		}
		datasources = append(datasources, datasource)
	}

	status := http.StatusOK
	results := map[string]dataResponse{}
	for i, query := range request.Queries {
		query.from, query.to = from, to
		if query.RefID == "" {
			query.RefID = "A"
		}
		if query.MaxDataPoints == 0 {
			query.MaxDataPoints = 100
		}
		var response dataResponse
		switch datasource := datasources[i]; datasource.Type {
		case "prometheus":
			response = queryPrometheus(r.Context(), datasource, &query)
		case "loki":
			response = queryLoki(r.Context(), datasource, &query)
		default:
			response = failed(http.StatusNotFound, fmt.Errorf("plugin not registered: %s", datasource.Type))
		}
		if response.Error != "" {
			status = http.StatusBadRequest
		}
		results[query.RefID] = response
	}
	reply(w, status, map[string]any{"results": results})
}

// uid names the data source; before Grafana 8.3 it stood there alone.
func (q *query) uid() string {
	var reference struct{ UID string }
	var uid string
	if json.Unmarshal(q.Datasource, &reference) == nil {
		return reference.UID
	}
	if json.Unmarshal(q.Datasource, &uid) != nil {
		return ""
	}
	return uid
}

// relativeTime is now, or so long ago.
var relativeTime = regexp.MustCompile(`^now(?:-(\d+)([smhdw]))?$`)

// parseTime reads milliseconds since 1970, "now" or "now-5m".
func parseTime(text string, now time.Time) (time.Time, error) {
	if milliseconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(milliseconds), nil
	}
	match := relativeTime.FindStringSubmatch(text)
	if match == nil {
		return now, fmt.Errorf("cannot parse time %q", text)
	}
	if match[1] == "" {
		return now, nil
	}
	ago, err := parseInterval(match[1] + match[2])
	return now.Add(-ago), err
}

// parseInterval reads a duration that may be of days or weeks.
func parseInterval(text string) (time.Duration, error) {
	for unit, hours := range map[string]int{"d": 24, "w": 7 * 24} {
		if number, found := strings.CutSuffix(text, unit); found {
			count, err := strconv.Atoi(number)
			return time.Duration(count*hours) * time.Hour, err
		}
	}
	return time.ParseDuration(text)
}

// formatInterval writes a duration in its largest whole unit, as Grafana's variables do.
func formatInterval(interval time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"y", 365 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if interval >= unit.size {
			return fmt.Sprintf("%d%s", interval/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%dms", max(1, interval.Milliseconds()))
}

// interpolate puts values in place of variables, which are written $name or ${name}.
func interpolate(expr string, variables map[string]string) string {
	return variable.ReplaceAllStringFunc(expr, func(found string) string {
		if value, known := variables[strings.Trim(found, "${}")]; known {
			return value
		}
		return found
	})
}

var variable = regexp.MustCompile(`\$__\w+|\$\{__\w+\}`)

// rangeVariables are those that tell of the time range.
func (q *query) rangeVariables() map[string]string {
	length := q.to.Sub(q.from)
	seconds := strconv.FormatInt(int64(length.Round(time.Second)/time.Second), 10)
	return map[string]string{
		"__range": seconds + "s", "__range_s": seconds, "__range_ms": strconv.FormatInt(length.Milliseconds(), 10),
	}
}
