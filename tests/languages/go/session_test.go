// A process pauses, and its session of 45 seconds ends: in no time, because the cluster's time is moved.
package languages

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAMemberThatPausesLosesItsPartitionsWhenItsSessionEnds(t *testing.T) {
	kafka := newCluster(t, obj{
		"topics":     []obj{{"name": "orders", "partitions": 1}},
		"properties": obj{"group.initial.rebalance.delay.ms": 0},
		"clock":      obj{"kind": "manual"},
	})
	kafka.post("/topics/orders/partitions/0/records", obj{"records": []obj{{"value": "paid"}}})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	join := func(clientID string) *kgo.Client {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(kafka.seeds()...),
			kgo.ClientID(clientID),
			kgo.ConsumerGroup("billing"),
			kgo.ConsumeTopics("orders"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.SessionTimeout(45*time.Second),
			kgo.DisableAutoCommit(),
		)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	read := func(client *kgo.Client) string {
		records := client.PollRecords(ctx, 1).Records()
		if len(records) != 1 {
			t.Fatalf("read %d records", len(records))
		}
		return string(records[0].Value)
	}

	paused := join("paused")
	defer paused.CloseAllowingRebalance()
	if value := read(paused); value != "paid" {
		t.Fatalf("read %q", value)
	}
	group := kafka.post("/groups/billing/wait", obj{"state": "Stable", "members": 1})
	member := group["members"].([]any)[0].(obj)["member_id"]
	frozen := kafka.post("/accidents", obj{"kind": "freeze", "client_id": "paused"})["gate"].(obj)

	// What it sends waits at the gate; heartbeats too.
	kafka.post("/clock/advance", obj{"by_ms": 46_000})
	kafka.post("/groups/billing/wait", obj{"without_member": member})

	other := join("other")
	defer other.CloseAllowingRebalance()
	if value := read(other); value != "paid" {
		t.Fatalf("nothing was committed, so it is read again, not %q", value)
	}
	kafka.post("/groups/billing/wait", obj{"state": "Stable", "members": 1})

	// The zombie wakes: what it wants to commit is refused.
	kafka.delete(fmt.Sprintf("/gates/%v", frozen["id"]))
	if err := paused.CommitUncommittedOffsets(ctx); err == nil {
		t.Fatal("the zombie committed")
	}
	refused := kafka.get("/journal/count?api=OffsetCommit&client_id=paused&failed_with_name=UNKNOWN_MEMBER_ID")
	if refused["count"].(float64) < 1 {
		t.Fatalf("%v", refused)
	}
}
