package main

import (
	"context"
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
	for ctx.Err() == nil {
		work(ctx, client)
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	interchange.Left()
}

func work(ctx context.Context, client *kgo.Client) {
	fetches := client.PollRecords(ctx, 200)
	var records []*kgo.Record
	next := map[int32]int64{}
	fetches.EachPartition(func(partition kgo.FetchTopicPartition) {
		if count := len(partition.Records); count > 0 {
			first, last := partition.Records[0].Offset, partition.Records[count-1].Offset
			interchange.WasGiven(int(partition.Partition), first, last)
			records, next[partition.Partition] = append(records, partition.Records...), last+1
		}
	})
	if len(records) == 0 {
		return
	}
	if err := client.CommitRecords(context.Background(), records...); err != nil {
		interchange.Refused(err)
		return
	}
	for partition, offset := range next {
		interchange.Committed(int(partition), offset)
	}
}
