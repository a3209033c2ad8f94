// franz-go, the client in pure Go that speaks every version of every API.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"foreign/interchange"
)

const silence = 30 * time.Second

var codecs = map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}

func main() {
	switch os.Args[1] {
	case "member":
		member()
		return
	case "transact":
		transact()
		return
	}
	command := interchange.CommandLine()
	for _, job := range command.Jobs {
		if command.What == "produce" {
			produce(command, job)
		} else {
			consume(command, job)
		}
	}
}

func produce(command interchange.Command, job interchange.Job) {
	options := []kgo.Opt{seeds(command), kgo.AllowAutoTopicCreation()}
	if job.Codec != "default" {
		options = append(options, kgo.ProducerBatchCompression(codecs[job.Codec]))
	}
	if command.Partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	client := interchange.Must(kgo.NewClient(options...))
	defer client.Close()
	var records []*kgo.Record
	for _, record := range interchange.Read(job.Input) {
		sent := &kgo.Record{Topic: job.Topic, Partition: max(command.Partition, 0), Key: record.Key,
			Value: record.Value, Timestamp: time.UnixMilli(record.Timestamp)}
		for _, header := range record.Headers {
			sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
		records = append(records, sent)
	}
	interchange.Check(client.ProduceSync(context.Background(), records...).FirstErr())
}

func consume(command interchange.Command, job interchange.Job) {
	start := map[string]map[int32]kgo.Offset{job.Topic: {max(command.Partition, 0): kgo.NewOffset().AtStart()}}
	client := interchange.Must(kgo.NewClient(seeds(command), kgo.ConsumePartitions(start)))
	defer client.Close()
	output := interchange.Create(job.Output)
	seen, highWatermark := 0, int64(0)
	for seen < job.Count {
		fetches := poll(client)
		interchange.Check(fetches.Err())
		fetches.EachPartition(func(partition kgo.FetchTopicPartition) { highWatermark = partition.HighWatermark })
		fetches.EachRecord(func(record *kgo.Record) {
			seen++
			read := interchange.Record{Key: record.Key, Value: record.Value, Timestamp: record.Timestamp.UnixMilli(),
				Partition: record.Partition}
			for _, header := range record.Headers {
				read.Headers = append(read.Headers, interchange.Header{Name: header.Key, Value: header.Value})
			}
			output.Write(read)
		})
	}
	output.Close()
	if seen != job.Count || highWatermark != int64(job.Count) {
		interchange.Check(fmt.Errorf("%s: %d records, high watermark %d, expected %d", job.Topic, seen, highWatermark,
			job.Count))
	}
}

func poll(client *kgo.Client) kgo.Fetches {
	ctx, cancel := context.WithTimeout(context.Background(), silence)
	defer cancel()
	return client.PollFetches(ctx)
}

func seeds(command interchange.Command) kgo.Opt {
	return kgo.SeedBrokers(strings.Split(command.Bootstrap, ",")...)
}
