package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// prometheusHealth asks what Grafana's plug-in asks: whether 1+1 can be told.
func prometheusHealth(ctx context.Context, datasource *datasource) (string, error) {
	answer, err := datasource.askPrometheus(ctx, "query", url.Values{"query": {"1+1"}, "time": {"4"}})
	if err == nil && answer.code != http.StatusOK {
		err = errors.New(answer.status)
	}
	if err == nil {
		_, err = prometheusFrames(answer, "__healthcheck__")
	}
	if err != nil {
		return fmt.Sprintf("%v - There was an error returned querying the Prometheus API.", err), err
	}
	return "Successfully queried the Prometheus API.", nil
}

// queryPrometheus sends a query to api/v1/query, to api/v1/query_range, or to both.
func queryPrometheus(ctx context.Context, datasource *datasource, query *query) dataResponse {
	scrapeInterval := datasource.setting("timeInterval")
	step, err := prometheusStep(query, scrapeInterval)
	if err != nil {
		return failed(http.StatusInternalServerError, err)
	}
	expr, err := prometheusExpr(query, step, scrapeInterval)
	if err != nil {
		return failed(http.StatusInternalServerError, err)
	}
	response := dataResponse{Status: http.StatusOK}
	send := func(endpoint string, values url.Values) {
		values.Set("query", expr)
		answer, err := datasource.askPrometheus(ctx, endpoint, values)
		if err != nil {
			response = failed(http.StatusBadGateway, err)
			return
		}
		frames, err := prometheusFrames(answer, query.RefID)
		if err != nil {
			response = failed(answer.code, err)
		}
		if len(frames) == 0 {
			// Where there is no data, one frame without a field still tells what was asked.
			frames = []frame{newFrame(query.RefID, map[string]any{})}
		}
		frames[0].Schema.Meta["executedQueryString"] = fmt.Sprintf("Expr: %s\nStep: %s", expr, step)
		for _, frame := range frames {
			if len(frame.Schema.Fields) > 1 {
				frame.Schema.Fields[0].Config = map[string]any{"interval": step.Milliseconds()}
				value := &frame.Schema.Fields[1]
				value.Name = cmp.Or(value.Labels["__name__"], value.Name)
			}
		}
		response.Frames = append(response.Frames, frames...)
	}
	if query.Instant {
		send("query", url.Values{"time": {seconds(query.to)}})
	}
	if response.Error == "" && (query.Range || !query.Instant) {
		send("query_range", url.Values{
			"start": {seconds(align(query.from, step))}, "end": {seconds(align(query.to, step))},
			"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
		})
	}
	return response
}

func (d *datasource) askPrometheus(ctx context.Context, endpoint string, values url.Values) (answer, error) {
	values.Set("timeout", "2m")
	method := cmp.Or(d.setting("httpMethod"), http.MethodPost)
	return d.ask(ctx, method, "api/v1/"+endpoint, values, nil)
}

// prometheusFrames reads an answer, which may be an error of Prometheus' own, or of something else at its address.
func prometheusFrames(answer answer, refID string) ([]frame, error) {
	switch answer.code {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusServiceUnavailable:
	default:
		const enough = 1024
		body := answer.body[:min(len(answer.body), enough)]
		return nil, fmt.Errorf("unexpected response with status code %d: %s", answer.code, body)
	}
	var response apiResponse
	if err := json.Unmarshal(answer.body, &response); err != nil {
		return nil, fmt.Errorf("response from prometheus couldn't be parsed. it is non-json: %w", err)
	}
	if response.Status == "error" {
		return nil, fmt.Errorf("%s: %s", response.ErrorType, response.Error)
	}
	return response.metricFrames(refID)
}

// prometheusStep is how far the points of a range query are apart: as far as the request says, or as Prometheus
// scrapes, but never so little that a series would have more points than can be shown.
func prometheusStep(query *query, scrapeInterval string) (time.Duration, error) {
	least := 15 * time.Second
	wanted := query.Interval
	if variable.MatchString(wanted) || wanted == "0s" {
		wanted = ""
	}
	if wanted == "" && query.IntervalMS != 0 {
		least = query.every()
	} else if text := cmp.Or(wanted, scrapeInterval); text != "" {
		var err error
		if least, err = parseInterval(text); err != nil {
			return 0, err
		}
	}
	const mostPoints = 11000
	length := query.to.Sub(query.from)
	step := length / time.Duration(query.MaxDataPoints)
	if step < least {
		step = least
	} else {
		step = roundInterval(step)
	}
	return max(step, roundInterval(length/mostPoints)), nil
}

// prometheusExpr is the expression with its variables put in; a rate is taken over four scrapes at least.
func prometheusExpr(query *query, step time.Duration, scrapeInterval string) (string, error) {
	wanted := query.Interval
	if variable.MatchString(wanted) {
		wanted = step.String()
	}
	scrape, err := parseInterval(cmp.Or(wanted, scrapeInterval, "15s"))
	if err != nil {
		return "", err
	}
	rate := max(query.every()+scrape, 4*scrape)
	variables := query.rangeVariables()
	variables["__interval"] = formatInterval(step)
	variables["__interval_ms"] = strconv.FormatInt(step.Milliseconds(), 10)
	variables["__rate_interval"] = rate.String()
	variables["__rate_interval_ms"] = strconv.FormatInt(rate.Milliseconds(), 10)
	return interpolate(query.Expr, variables), nil
}

// align goes back to a multiple of the step, so that the same points are asked for again.
func align(at time.Time, step time.Duration) time.Time {
	return time.Unix(0, at.UnixNano()/int64(step)*int64(step))
}

func seconds(at time.Time) string {
	return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', -1, 64)
}

// roundInterval gives the round number that Grafana takes for an interval.
func roundInterval(interval time.Duration) time.Duration {
	const day = 24 * time.Hour
	for _, row := range []struct{ upTo, round time.Duration }{
		{10 * time.Millisecond, time.Millisecond},
		{15 * time.Millisecond, 10 * time.Millisecond},
		{35 * time.Millisecond, 20 * time.Millisecond},
		{75 * time.Millisecond, 50 * time.Millisecond},
		{150 * time.Millisecond, 100 * time.Millisecond},
		{350 * time.Millisecond, 200 * time.Millisecond},
		{750 * time.Millisecond, 500 * time.Millisecond},
		{1500 * time.Millisecond, time.Second},
		{3500 * time.Millisecond, 2 * time.Second},
		{7500 * time.Millisecond, 5 * time.Second},
		{12500 * time.Millisecond, 10 * time.Second},
		{17500 * time.Millisecond, 15 * time.Second},
		{25 * time.Second, 20 * time.Second},
		{45 * time.Second, 30 * time.Second},
		{90 * time.Second, time.Minute},
		{210 * time.Second, 2 * time.Minute},
		{450 * time.Second, 5 * time.Minute},
		{750 * time.Second, 10 * time.Minute},
		{1050 * time.Second, 15 * time.Minute},
		{25 * time.Minute, 20 * time.Minute},
		{45 * time.Minute, 30 * time.Minute},
		{90 * time.Minute, time.Hour},
		{150 * time.Minute, 2 * time.Hour},
		{270 * time.Minute, 3 * time.Hour},
		{9 * time.Hour, 6 * time.Hour},
		{day, 12 * time.Hour},
		{7 * day, day},
		{21 * day, 7 * day},
	} {
		if interval <= row.upTo {
			return row.round
		}
	}
	return 30 * day
}
