package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"foreign/interchange"
)

var balancers = map[string]kafka.GroupBalancer{"range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{}}

// member uses kafka-go's ConsumerGroup and not its Reader, which does not say what it owns.
func member() {
	given := interchange.MemberCommandLine()
	brokers := strings.Split(given.Bootstrap, ",")
	group := interchange.Must(kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: given.Group, Brokers: brokers,
		Topics: []string{given.Topic}, GroupBalancers: []kafka.GroupBalancer{balancers[given.Protocol]},
		SessionTimeout: given.Session, HeartbeatInterval: interchange.Heartbeat, StartOffset: kafka.FirstOffset,
		JoinGroupBackoff: 200 * time.Millisecond, RebalanceTimeout: given.Session}))
	ctx, cancel := context.WithCancel(context.Background())
	leaving := interchange.Leaving()
	go func() {
		<-leaving
		cancel()
	}()
	for {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			continue
		}
		var partitions []int
		for _, assigned := range generation.Assignments[given.Topic] {
			partitions = append(partitions, assigned.ID)
		}
		interchange.Owns(partitions)
		var working sync.WaitGroup
		for _, assigned := range generation.Assignments[given.Topic] {
			working.Add(1)
			generation.Start(func(ctx context.Context) {
				defer working.Done()
				work(ctx, generation, brokers, given.Topic, assigned)
			})
		}
		generation.Start(func(ctx context.Context) {
			<-ctx.Done()
			working.Wait()
			interchange.Owns(nil)
		})
	}
	group.Close()
	interchange.Left()
}

// work reads one partition for as long as the generation lasts.
func work(ctx context.Context, generation *kafka.Generation, brokers []string, topic string, assigned kafka.PartitionAssignment) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: brokers, Topic: topic, Partition: assigned.ID,
		MaxWait: 100 * time.Millisecond})
	// Close waits for the fetch that is under way; nothing needs it.
	defer func() { go reader.Close() }()
	interchange.Check(reader.SetOffset(assigned.Offset))
	for {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			if !errors.Is(err, kafka.ErrGenerationEnded) && ctx.Err() == nil {
				interchange.Check(err)
			}
			return
		}
		interchange.WasGiven(assigned.ID, message.Offset, message.Offset)
		next := message.Offset + 1
		if err := generation.CommitOffsets(map[string]map[int]int64{topic: {assigned.ID: next}}); err != nil {
			interchange.Refused(err)
			return
		}
		interchange.Committed(assigned.ID, next)
	}
}
