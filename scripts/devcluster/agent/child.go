package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a program that runs beside this one and ends with it.
type child struct {
	name string
	// url is where it listens, for this machine alone.
	url     string
	command []string
	log     io.Writer
}

// freeAddress asks the kernel for a port on loopback: the network is the node's, where any fixed one may be taken.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// run runs the child until ctx ends. If it ends before, its last words are the error.
func (c *child) run(ctx context.Context) error {
	words := &words{to: c.log}
	command := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	command.Stdout, command.Stderr = words, words
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 15 * time.Second
	err := command.Run()
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("it exited without an error")
	}
	return fmt.Errorf("%s ended: %w: %s", c.name, err, words.last())
}

// levelAndTime are what Alloy's log lines have otherwise than Prometheus'.
var levelAndTime = regexp.MustCompile(`^time=(\S+) level=([A-Z]+) `)

// words passes a child's log on, in the form that Alloy's has, and keeps its last lines.
type words struct {
	to   io.Writer
	lock sync.Mutex
	rest []byte
	kept []string
}

func (w *words) Write(text []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.rest = append(w.rest, text...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		w.rest = rest
		said := string(line)
		if parts := levelAndTime.FindStringSubmatch(said); parts != nil {
			said = fmt.Sprintf("ts=%s level=%s %s", parts[1], strings.ToLower(parts[2]), said[len(parts[0]):])
		}
		w.kept = append(w.kept, said)[max(0, len(w.kept)-4):]
		if _, err := fmt.Fprintln(w.to, said); err != nil {
			return len(text), err
		}
	}
}

func (w *words) last() string {
	w.lock.Lock()
	defer w.lock.Unlock()
	return strings.Join(w.kept, " | ")
}
