package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// lokiHealth asks what Grafana's plug-in asks, and like it keeps the cause of a failure for its log.
func lokiHealth(ctx context.Context, datasource *datasource) (string, error) {
	response := queryLoki(ctx, datasource, &query{
		RefID: "__healthcheck__", Expr: "vector(1)+vector(1)", QueryType: "instant", Step: "1s",
		from: time.Unix(1, 0), to: time.Unix(4, 0),
	})
	var err error
	if response.Error != "" {
		err = fmt.Errorf("error from loki: %s", response.Error)
	} else if got := response.values(); len(got) != 1 || got[0] != 2.0 {
		err = fmt.Errorf("invalid response, expected 2 got %v", got)
	}
	if err != nil {
		return "Unable to connect with Loki. Please check the server logs for more details.", err
	}
	return "Data source successfully connected.", nil
}

// values are those of the first frame, if it is one of samples.
func (r *dataResponse) values() []any {
	if len(r.Frames) == 0 || len(r.Frames[0].Data.Values) != 2 {
		return nil
	}
	return r.Frames[0].Data.Values[1]
}

// queryLoki sends a query to loki/api/v1/query or loki/api/v1/query_range.
func queryLoki(ctx context.Context, datasource *datasource, query *query) dataResponse {
	step, err := lokiStep(query)
	if err != nil {
		return failed(http.StatusInternalServerError, err)
	}
	variables := query.rangeVariables()
	variables["__interval"] = formatInterval(query.every())
	variables["__interval_ms"] = strconv.FormatInt(query.every().Milliseconds(), 10)
	variables["__auto"] = formatInterval(step)
	endpoint := "query_range"
	values := url.Values{"direction": {cmp.Or(query.Direction, "backward")}}
	switch query.QueryType {
	case "instant":
		endpoint = "query"
		variables["__auto"] = variables["__range"]
		values.Set("time", nanoseconds(query.to))
	case "", "range":
		values.Set("start", nanoseconds(query.from))
		values.Set("end", nanoseconds(query.to))
		values.Set("step", fmt.Sprintf("%dms", step.Milliseconds()))
	default:
		return failed(http.StatusInternalServerError, fmt.Errorf("invalid queryType: %s", query.QueryType))
	}
	if query.MaxLines > 0 {
		values.Set("limit", strconv.FormatInt(query.MaxLines, 10))
	}
	expr := interpolate(query.Expr, variables)
	values.Set("query", expr)

	// Loki then tells the labels of a stream from those of a line.
	header := http.Header{"X-Loki-Response-Encoding-Flags": {"categorize-labels"}}
	answer, err := datasource.ask(ctx, http.MethodGet, "loki/api/v1/"+endpoint, values, header)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return failed(http.StatusBadGateway, err)
	}
	if err != nil {
		return failed(statusOf(err, http.StatusInternalServerError), err)
	}
	if answer.code/100 != 2 {
		return failed(answer.code, lokiError(answer.body))
	}
	var response apiResponse
	if err := json.Unmarshal(answer.body, &response); err != nil {
		return failed(http.StatusInternalServerError, err)
	}
	var frames []frame
	if response.Data.ResultType == "streams" {
		frames, err = logFrames(response.Data.Result, query.RefID)
	} else {
		frames, err = response.metricFrames(query.RefID)
	}
	if err != nil {
		return failed(http.StatusInternalServerError, err)
	}
	for _, frame := range frames {
		frame.Schema.Meta["executedQueryString"] = "Expr: " + expr
	}
	return dataResponse{Status: http.StatusOK, Frames: frames}
}

func lokiStep(query *query) (time.Duration, error) {
	if query.Step != "" {
		return parseInterval(query.Step)
	}
	const mostPoints = 11000
	step := max(query.every(), query.to.Sub(query.from)/mostPoints)
	return (step + time.Millisecond - 1).Truncate(time.Millisecond), nil
}

// lokiError is the message in an answer, or all of it.
func lokiError(body []byte) error {
	var answer struct{ Message string }
	if json.Unmarshal(body, &answer) == nil && answer.Message != "" {
		return errors.New(answer.Message)
	}
	return errors.New(string(body))
}

// logLine is written as [nanoseconds, line] or [nanoseconds, line, more labels].
type logLine struct {
	at   int64
	line string
	more struct{ StructuredMetadata, Parsed map[string]string }
}

func (l *logLine) UnmarshalJSON(content []byte) error {
	var at string
	if err := json.Unmarshal(content, &[]any{&at, &l.line, &l.more}); err != nil {
		return err
	}
	var err error
	l.at, err = strconv.ParseInt(at, 10, 64)
	return err
}

// logFrames makes one frame of the lines of all streams.
func logFrames(result json.RawMessage, refID string) ([]frame, error) {
	var streams []struct {
		Stream map[string]string
		Values []logLine
	}
	if err := json.Unmarshal(result, &streams); err != nil {
		return nil, err
	}
	columns := make([][]any, 6)
	for i := range columns {
		columns[i] = []any{}
	}
	seen := map[string]int{}
	for _, stream := range streams {
		for _, line := range stream.Values {
			labels, types := map[string]string{}, map[string]string{}
			merge := func(more map[string]string, kind string) {
				for name, value := range more {
					labels[name], types[name] = value, kind
				}
			}
			merge(stream.Stream, "I")
			merge(line.more.StructuredMetadata, "S")
			merge(line.more.Parsed, "P")
			id := lineID(labels, line)
			seen[id]++
			if again := seen[id] - 1; again > 0 {
				id = fmt.Sprintf("%s_%d", id, again)
			}
			for i, value := range []any{
				labels, line.at / int64(time.Millisecond), line.line, strconv.FormatInt(line.at, 10), types, id,
			} {
				columns[i] = append(columns[i], value)
			}
		}
	}
	logs := newFrame(refID, map[string]any{"custom": map[string]any{"frameType": "LabeledTimeValues"}})
	logs.add("labels", "other", "json.RawMessage", nil, columns[0])
	logs.add("Time", "time", "time.Time", nil, columns[1])
	logs.add("Line", "string", "string", nil, columns[2])
	logs.add("tsNs", "string", "string", nil, columns[3])
	logs.add("labelTypes", "other", "json.RawMessage", nil, columns[4])
	logs.add("id", "string", "string", nil, columns[5])
	return []frame{logs}, nil
}

// lineID tells lines apart that came at the same moment.
func lineID(labels map[string]string, line logLine) string {
	// A map of strings can always be written.
	written, _ := json.Marshal(labels)
	hash := fnv.New32()
	fmt.Fprintf(hash, "%s_%s", line.line, written)
	return fmt.Sprintf("%d_%x", line.at, hash.Sum32())
}

func nanoseconds(at time.Time) string {
	return strconv.FormatInt(at.UnixNano(), 10)
}
