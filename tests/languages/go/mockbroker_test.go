// A fixture for tests against mockbroker: copy this file beside your tests. Needs Go and the program, nothing else.
//
//	kafka := newCluster(t, obj{"topics": []obj{{"name": "orders", "partitions": 1}}})
//	kgo.NewClient(kgo.SeedBrokers(kafka.seeds()...))
//	kafka.post("/clock/advance", obj{"by_ms": 45000})
//
// The program is started once; each test has a cluster of its own, which fails it if a fault that it mounted never fired.
// What can be asked is in docs/CONTROL.md.
package languages

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// obj is JSON.
type obj = map[string]any

// cluster is a cluster of its own, and what can be asked of it.
type cluster struct {
	t         *testing.T
	url       string
	bootstrap string
}

// program starts mockbroker, and returns the URL of its control address. It ends with this process: its stdin is a pipe that
// only this process holds.
var program = sync.OnceValues(func() (string, error) {
	name := os.Getenv("MOCKBROKER")
	if name == "" {
		name = "mockbroker"
	}
	command := exec.Command(name, "serve", "--port", "0", "--control", "127.0.0.1:0", "--until-eof")
	command.Stderr = os.Stderr
	if _, err := command.StdinPipe(); err != nil {
		return "", err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := command.Start(); err != nil {
		return "", err
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if url, found := strings.CutPrefix(lines.Text(), "CONTROL "); found {
			return url, nil
		}
	}
	return "", fmt.Errorf("%s ended before it said where to ask", name)
})

func newCluster(t *testing.T, settings obj) *cluster {
	t.Helper()
	url, err := program()
	if err != nil {
		t.Fatal(err)
	}
	kafka := &cluster{t: t, url: url}
	state := kafka.post("/clusters", settings)
	kafka.url += "/clusters/" + state["name"].(string)
	kafka.bootstrap = state["bootstrap_servers"].(string)
	t.Cleanup(func() { kafka.delete("") })
	return kafka
}

func (kafka *cluster) seeds() []string { return strings.Split(kafka.bootstrap, ",") }

func (kafka *cluster) get(path string) obj             { kafka.t.Helper(); return kafka.ask("GET", path, nil) }
func (kafka *cluster) post(path string, body obj) obj { kafka.t.Helper(); return kafka.ask("POST", path, body) }
func (kafka *cluster) delete(path string)             { kafka.t.Helper(); kafka.ask("DELETE", path, nil) }

// ask fails the test with what was refused, and the cluster's report if something was waited for in vain.
func (kafka *cluster) ask(method, path string, body obj) (told obj) {
	kafka.t.Helper()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			kafka.t.Fatal(err)
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, kafka.url+path, content)
	if err != nil {
		kafka.t.Fatal(err)
	}
	request.Header.Set("content-type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		kafka.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(answer.Body).Decode(&told); err != nil {
			kafka.t.Fatal(err)
		}
	}
	if answer.StatusCode >= 300 {
		report, _ := told["report"].(string)
		kafka.t.Fatalf("%s %s: %v: %v\n%s", method, path, told["title"], told["detail"], report)
	}
	return told
}
