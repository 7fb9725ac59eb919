package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// slack is how far behind its newest line a log may still bring one: two streams of a container share a log.
const slack = time.Second

// position is how far a log was read. The API gives lines from a second on, so it knows those of its last seconds one by one.
type position struct {
	Since time.Time           `json:"since"`
	Lines map[uint64]seenLine `json:"lines"`
}

type seenLine struct {
	Time  time.Time `json:"time"`
	Count int       `json:"count"`
}

// sum tells lines of one log apart.
func sum(line string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(line))
	return hash.Sum64()
}

// add counts a line as read.
func (p *position) add(at time.Time, sum uint64) {
	if since := at.Truncate(time.Second).Add(-slack); since.After(p.Since) {
		p.Since = since
		maps.DeleteFunc(p.Lines, func(_ uint64, line seenLine) bool { return line.Time.Before(since) })
	}
	if p.Lines == nil {
		p.Lines = map[uint64]seenLine{}
	}
	p.Lines[sum] = seenLine{at, p.Lines[sum].Count + 1}
}

func (p *position) clone() position {
	return position{p.Since, maps.Clone(p.Lines)}
}

// positions are how far the logs of a node were delivered, kept in a file.
type positions struct {
	path string
	lock sync.Mutex
	logs map[container]*position
}

// openPositions reads what an earlier run has delivered; a file that is not there is an empty one.
func openPositions(path string) (*positions, error) {
	positions := &positions{path: path, logs: map[container]*position{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return positions, os.MkdirAll(filepath.Dir(path), 0o777)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &positions.logs); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return positions, nil
}

// of gives the position in one log.
func (p *positions) of(log container) position {
	p.lock.Lock()
	defer p.lock.Unlock()
	if known := p.logs[log]; known != nil {
		return known.clone()
	}
	return position{}
}

// delivered counts lines as delivered, drops logs that are no more, and writes that down before it returns.
func (p *positions) delivered(entries []entry) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, entry := range entries {
		if entry.last {
			delete(p.logs, entry.log)
			continue
		}
		known := p.logs[entry.log]
		if known == nil {
			known = &position{}
			p.logs[entry.log] = known
		}
		known.add(entry.time, entry.sum)
	}
	return p.save()
}

// save replaces the file whole, so that none is ever half written.
func (p *positions) save() error {
	text, err := json.Marshal(p.logs)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.path+".new", text, 0o666); err != nil {
		return err
	}
	return os.Rename(p.path+".new", p.path)
}
