// kafka-go, segmentio's client in pure Go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"foreign/interchange"
)

const silence = 30 * time.Second

var codecs = map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}

func main() {
	if os.Args[1] == "member" {
		member()
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
	// Not a default, but without it a topic has to exist first.
	writer := &kafka.Writer{Addr: kafka.TCP(strings.Split(command.Bootstrap, ",")...), Topic: job.Topic,
		AllowAutoTopicCreation: true}
	if job.Codec != "default" {
		// The default is acks=0, which no one can check: a lost batch is not reported.
		writer.RequiredAcks = kafka.RequireAll
		writer.Compression = codecs[job.Codec]
	}
	if command.Partition >= 0 {
		writer.Balancer = kafka.BalancerFunc(func(kafka.Message, ...int) int { return int(command.Partition) })
	}
	var messages []kafka.Message
	for _, record := range interchange.Read(job.Input) {
		message := kafka.Message{Key: record.Key, Value: record.Value, Time: time.UnixMilli(record.Timestamp)}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: header.Name, Value: header.Value})
		}
		messages = append(messages, message)
	}
	interchange.Check(write(writer, messages))
	interchange.Check(writer.Close())
}

// write tries again while a topic is being made, as kafka-go's README says one has to: the first request for an
// unknown topic makes it and fails, before anything is written.
func write(writer *kafka.Writer, messages []kafka.Message) error {
	for end := time.Now().Add(silence); ; time.Sleep(100 * time.Millisecond) {
		err := writer.WriteMessages(context.Background(), messages...)
		making := errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, kafka.LeaderNotAvailable)
		if !making || time.Now().After(end) {
			return err
		}
	}
}

func consume(command interchange.Command, job interchange.Job) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: strings.Split(command.Bootstrap, ","), Topic: job.Topic,
		Partition: max(int(command.Partition), 0)})
	output := interchange.Create(job.Output)
	for seen := range job.Count {
		message := interchange.Must(next(reader))
		record := interchange.Record{Key: message.Key, Value: message.Value, Timestamp: message.Time.UnixMilli(),
			Partition: int32(message.Partition)}
		for _, header := range message.Headers {
			record.Headers = append(record.Headers, interchange.Header{Name: header.Key, Value: header.Value})
		}
		output.Write(record)
		if last := seen+1 == job.Count; last && message.HighWaterMark != int64(job.Count) {
			interchange.Check(fmt.Errorf("%s: high watermark %d, expected %d", job.Topic, message.HighWaterMark, job.Count))
		}
	}
	output.Close()
	// Close waits for the fetch that is under way, nine seconds at its defaults; the end of the process does not.
	go reader.Close()
}

func next(reader *kafka.Reader) (kafka.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), silence)
	defer cancel()
	return reader.ReadMessage(ctx)
}
