package main

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"foreign/interchange"
)

var balancers = map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
	"sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer()}

// owned is touched by callbacks only, which BlockRebalanceOnPoll keeps apart.
type owned map[int32]bool

func (owned owned) add(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for _, each := range partitions {
		for _, partition := range each {
			owned[partition] = true
		}
	}
	owned.tell()
}

func (owned owned) remove(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for _, each := range partitions {
		for _, partition := range each {
			delete(owned, partition)
		}
	}
	owned.tell()
}

func (owned owned) tell() {
	var partitions []int
	for partition := range owned {
		partitions = append(partitions, int(partition))
	}
	sort.Ints(partitions)
	interchange.Owns(partitions)
}

func member() {
	given, owned := interchange.MemberCommandLine(), owned{}
	options := []kgo.Opt{seeds(interchange.Command{Bootstrap: given.Bootstrap}), kgo.ConsumerGroup(given.Group),
		kgo.ConsumeTopics(given.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(given.Session), kgo.HeartbeatInterval(interchange.Heartbeat),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(owned.add), kgo.OnPartitionsRevoked(owned.remove), kgo.OnPartitionsLost(owned.remove),
		kgo.Balancers(balancers[given.Protocol])}
	if given.Instance != "" {
		options = append(options, kgo.InstanceID(given.Instance))
	}
	client := interchange.Must(kgo.NewClient(options...))
	ctx, cancel := context.WithCancel(context.Background())
	leaving := interchange.Leaving()
	go func() {
		<-leaving
		cancel()
	}()
	var pending []*kgo.Record
	for ctx.Err() == nil {
		pending = work(ctx, client, owned, pending)
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	interchange.Left()
}

// work reads and commits. It returns what was read and is not committed: a refused commit is tried again while the partition
// stays, as it does in a cooperative rebalance. Maybe nothing comes after it that would commit it along.
func work(ctx context.Context, client *kgo.Client, owned owned, pending []*kgo.Record) []*kgo.Record {
	limit, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	fetches := client.PollRecords(limit, 200)
	cancel()
	pending = slices.DeleteFunc(pending, func(record *kgo.Record) bool { return !owned[record.Partition] })
	fetches.EachPartition(func(partition kgo.FetchTopicPartition) {
		if count := len(partition.Records); count > 0 {
			first, last := partition.Records[0].Offset, partition.Records[count-1].Offset
			interchange.WasGiven(int(partition.Partition), first, last)
			pending = append(pending, partition.Records...)
		}
	})
	if len(pending) == 0 {
		return nil
	}
	if err := client.CommitRecords(context.Background(), pending...); err != nil {
		interchange.Refused(err)
		return pending
	}
	next := map[int32]int64{}
	for _, record := range pending {
		next[record.Partition] = record.Offset + 1
	}
	for partition, offset := range next {
		interchange.Committed(int(partition), offset)
	}
	return nil
}
