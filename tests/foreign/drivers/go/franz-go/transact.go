package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"foreign/interchange"
)

// transact is consume, transform, produce with franz-go's GroupTransactSession, which rewinds by itself. What it does is
// told in ../../python/confluent_transact.py.
func transact() {
	given := interchange.MemberCommandLine()
	session := interchange.Must(kgo.NewGroupTransactSession(seeds(interchange.Command{Bootstrap: given.Bootstrap}),
		kgo.TransactionalID(given.Instance), kgo.TransactionTimeout(20*time.Second), kgo.ConsumerGroup(given.Group),
		kgo.ConsumeTopics(given.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.SessionTimeout(given.Session), kgo.HeartbeatInterval(interchange.Heartbeat),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.Balancers(kgo.RangeBalancer()),
		kgo.RecordPartitioner(kgo.ManualPartitioner())))
	ctx, cancel := context.WithCancel(context.Background())
	leaving := interchange.Leaving()
	go func() {
		<-leaving
		cancel()
	}()
	for ctx.Err() == nil {
		if fetches := session.PollRecords(ctx, 500); fetches.NumRecords() > 0 {
			one(session, given.Output, fetches)
		}
	}
	session.Close()
	interchange.Left()
}

// one puts what was fetched through one transaction.
func one(session *kgo.GroupTransactSession, output string, fetches kgo.Fetches) {
	ctx := context.Background()
	interchange.Check(session.Begin())
	end, count := kgo.TryCommit, fetches.NumRecords()
	if rand.Intn(10) == 0 {
		end = kgo.TryAbort
	}
	fetches.EachRecord(func(record *kgo.Record) {
		session.Produce(ctx, &kgo.Record{Topic: output, Partition: record.Partition, Value: record.Value}, func(_ *kgo.Record, err error) {
			if err != nil {
				interchange.Refused(err)
			}
		})
	})
	if end == kgo.TryAbort {
		// What was not sent yet would not be written at all.
		interchange.Check(session.Client().Flush(ctx))
	}
	committed, err := session.End(ctx, end)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	interchange.Transacted(count, committed)
}
