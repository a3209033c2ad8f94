package interchange

import (
	"encoding/json"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

// Heartbeat is the interval of all members; ../../python/member.py has the same.
const Heartbeat = 500 * time.Millisecond

// Member is what a member of a group is asked to be.
type Member struct {
	Bootstrap, Group, Topic, Protocol, Instance, Output string
	Session                                             time.Duration
}

// MemberCommandLine reads the arguments after "member".
func MemberCommandLine() Member {
	given := map[string]string{}
	for i := 2; i+1 < len(os.Args); i += 2 {
		given[os.Args[i]] = os.Args[i+1]
	}
	session := time.Duration(Must(strconv.Atoi(given["--session-ms"]))) * time.Millisecond
	return Member{given["--bootstrap"], given["--group"], given["--topic"], given["--protocol"], given["--instance"],
		given["--output"], session}
}

// Leaving is closed when stdin ends.
func Leaving() <-chan struct{} {
	leaving := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(leaving)
	}()
	return leaving
}

var saying sync.Mutex

func say(event map[string]any) {
	saying.Lock()
	defer saying.Unlock()
	event["at"] = float64(time.Now().UnixMicro()) / 1000
	Check(json.NewEncoder(os.Stdout).Encode(event))
}

// Owns says which partitions the member owns from now on.
func Owns(partitions []int) {
	if partitions == nil {
		partitions = []int{}
	}
	say(map[string]any{"owns": partitions})
}

// WasGiven says which records the member was given.
func WasGiven(partition int, first, last int64) {
	say(map[string]any{"read": []int64{int64(partition), first, last}})
}

// Committed says what the broker has taken.
func Committed(partition int, next int64) {
	say(map[string]any{"committed": []int64{int64(partition), next}})
}

// Refused says why a commit was not taken.
func Refused(err error) { say(map[string]any{"refused": err.Error()}) }

// Transacted says how many records went through a transaction, or were aborted with it.
func Transacted(count int, committed bool) {
	what := "aborted"
	if committed {
		what = "transacted"
	}
	say(map[string]any{what: count})
}

// Left says that the member has left.
func Left() { say(map[string]any{"left": true}) }
