package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The stack's own files, as the containers see them.
const manifests = "../../../manifests"

// TestMain lets a test run this very binary as the command.
func TestMain(m *testing.M) {
	if os.Getenv("STANDIN_COMMAND") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// serve starts a role and returns the address of each of its endpoints.
func serve(t *testing.T, role string, argv ...string) []string {
	t.Helper()
	servers, err := start(role, argv)
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, server := range servers {
		t.Cleanup(func() { server.listener.Close() })
		go server.serve()
		addresses = append(addresses, server.listener.Addr().String())
	}
	return addresses
}

// refuse fails the test unless the role refuses to start, with these words among its reasons.
func refuse(t *testing.T, words, role string, argv ...string) {
	t.Helper()
	_, err := start(role, argv)
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%s %q: got error %v, want one about %q", role, argv, err, words)
	}
}

// get returns status and body, and insists that the response owns up to being a stand-in's.
func get(t *testing.T, role, url string) (int, string) {
	t.Helper()
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer insecure.CloseIdleConnections()
	response, err := insecure.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("X-Stand-In"); got != role {
		t.Errorf("%s: X-Stand-In is %q, want %q", url, got, role)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func wantStatus(t *testing.T, want int, role, url string) {
	t.Helper()
	if got, body := get(t, role, url); got != want {
		t.Errorf("%s: got %d %q, want %d", url, got, body, want)
	}
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// unwritable is a path at which no folder can be made, not even by root.
func unwritable(t *testing.T) string {
	t.Helper()
	return filepath.Join(write(t, filepath.Join(t.TempDir(), "file"), ""), "folder")
}

func TestCommandSaysWhatItIsAndEndsWellOnSIGTERM(t *testing.T) {
	for _, role := range []string{"anything-else", "kube-state-metrics"} {
		command := exec.Command(os.Args[0], "--as="+role, "--", "--port=0", "--telemetry-port=0")
		command.Env = append(os.Environ(), "STANDIN_COMMAND=1")
		stderr, err := command.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		log := bufio.NewScanner(stderr)
		log.Scan()
		if want := "a stand-in for " + role + ", not the real program"; !strings.Contains(log.Text(), want) {
			t.Errorf("the first line is %q, want %q in it", log.Text(), want)
		}
		command.Process.Signal(syscall.SIGTERM)
		for log.Scan() {
		}
		if err := command.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

func TestCommandFailsWhereTheProgramWould(t *testing.T) {
	command := exec.Command(os.Args[0], "--as=loki", "--", "-config.file=/nowhere")
	command.Env = append(os.Environ(), "STANDIN_COMMAND=1")
	output, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != 1 || !strings.Contains(string(output), "/nowhere: no such file") {
		t.Errorf("got %v: %s", err, output)
	}
}

func TestArgsTakeTheLastValueAndEitherDash(t *testing.T) {
	argv := args{"run", "-a=1", "--b=x=y", "--a=2", "file", "c=3"}
	for name, want := range map[string]string{"a": "2", "b": "x=y", "c": "none"} {
		if got := argv.value(name, "none"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := strings.Join(argv.operands(), " "); got != "run file c=3" {
		t.Errorf("operands are %q", got)
	}
}
