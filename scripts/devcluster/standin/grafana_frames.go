package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// dataResponse is what came of one query: frames or an error, and the status either way.
type dataResponse struct {
	Error       string  `json:"error,omitempty"`
	ErrorSource string  `json:"errorSource,omitempty"`
	Status      int     `json:"status"`
	Frames      []frame `json:"frames,omitempty"`
}

// failed is the response to a query that the data source could not answer.
func failed(status int, err error) dataResponse {
	return dataResponse{Error: err.Error(), ErrorSource: "downstream", Status: status}
}

// frame is a table by columns, in the JSON that Grafana's front end reads.
type frame struct {
	Schema schema      `json:"schema"`
	Data   frameValues `json:"data"`
}

type schema struct {
	RefID  string         `json:"refId,omitempty"`
	Meta   map[string]any `json:"meta"`
	Fields []field        `json:"fields"`
}

type field struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	TypeInfo map[string]string `json:"typeInfo"`
	Labels   map[string]string `json:"labels,omitempty"`
	Config   map[string]any    `json:"config,omitempty"`
}

type frameValues struct {
	Values   [][]any     `json:"values"`
	Entities []*entities `json:"entities,omitempty"`
}

// entities are the rows of a column that hold what JSON has no number for.
type entities struct {
	NaN    []int `json:"NaN,omitempty"`
	Inf    []int `json:"Inf,omitempty"`
	NegInf []int `json:"NegInf,omitempty"`
}

func newFrame(refID string, meta map[string]any) frame {
	meta["typeVersion"] = [2]int{0, 0}
	return frame{schema{refID, meta, []field{}}, frameValues{Values: [][]any{}}}
}

// add appends a column; its Go type is what Grafana's own frames would hold.
func (f *frame) add(name, kind, goType string, labels map[string]string, values []any) {
	f.Schema.Fields = append(f.Schema.Fields, field{
		Name: name, Type: kind, TypeInfo: map[string]string{"frame": goType}, Labels: labels,
	})
	f.Data.Values = append(f.Data.Values, values)
}

// addSamples appends a column of times and one of values.
func (f *frame) addSamples(labels map[string]string, samples []sample) {
	times, values := make([]any, len(samples)), make([]any, len(samples))
	var odd entities
	for row, sample := range samples {
		times[row] = sample.time.UnixMilli()
		switch value := sample.value; {
		case math.IsNaN(value):
			odd.NaN = append(odd.NaN, row)
		case math.IsInf(value, 1):
			odd.Inf = append(odd.Inf, row)
		case math.IsInf(value, -1):
			odd.NegInf = append(odd.NegInf, row)
		default:
			values[row] = value
		}
	}
	f.add("Time", "time", "time.Time", nil, times)
	f.add("Value", "number", "float64", labels, values)
	if odd.NaN != nil || odd.Inf != nil || odd.NegInf != nil {
		f.Data.Entities = []*entities{nil, &odd}
	}
}

// apiResponse is what Prometheus and Loki answer to a query.
type apiResponse struct {
	Status, ErrorType, Error string
	Data                     struct {
		ResultType string
		Result     json.RawMessage
	}
}

// sample is written as [seconds, "value"].
type sample struct {
	time  time.Time
	value float64
}

func (s *sample) UnmarshalJSON(content []byte) error {
	var seconds float64
	var value string
	if err := json.Unmarshal(content, &[]any{&seconds, &value}); err != nil {
		return err
	}
	s.time = time.UnixMilli(int64(seconds * 1000))
	var err error
	s.value, err = strconv.ParseFloat(value, 64)
	return err
}

// metricFrames makes a frame of each series, whichever format was asked for: tables are made of them by the front end.
func (r *apiResponse) metricFrames(refID string) ([]frame, error) {
	type series struct {
		Metric                map[string]string
		Value                 *sample
		Values                []sample
		Histogram, Histograms json.RawMessage
	}
	var all []series
	kind := "timeseries-multi"
	switch r.Data.ResultType {
	case "vector", "matrix":
		if err := json.Unmarshal(r.Data.Result, &all); err != nil {
			return nil, err
		}
	case "scalar":
		kind = "numeric-multi"
		all = []series{{}}
		if err := json.Unmarshal(r.Data.Result, &all[0].Value); err != nil {
			return nil, err
		}
	case "":
		return nil, errors.New("no resultType found")
	default:
		return nil, fmt.Errorf("unknown result type: %s", r.Data.ResultType)
	}
	var frames []frame
	for _, series := range all {
		if series.Histogram != nil || series.Histograms != nil {
			return nil, errors.New("a stand-in for Grafana makes no frames of native histograms")
		}
		if series.Value != nil {
			series.Values = append(series.Values, *series.Value)
		}
		custom := map[string]any{"resultType": r.Data.ResultType}
		frame := newFrame(refID, map[string]any{"type": kind, "custom": custom})
		frame.addSamples(series.Metric, series.Values)
		frames = append(frames, frame)
	}
	return frames, nil
}
