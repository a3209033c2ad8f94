// Package interchange is the command line and the record files that every driver has in common.
// See ../../../README.md.
package interchange

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// Record is a line of a file: []byte is base64, nil is null.
type Record struct {
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []Header `json:"headers"`
	Timestamp int64    `json:"timestamp"`
	Partition int32    `json:"partition"`
}

// Header is written as an array of name and value.
type Header struct {
	Name  string
	Value []byte
}

// Job is one topic to write or to read.
type Job struct {
	Topic, Codec, Input, Output string
	Count                       int
}

// Command is what a driver is asked to do.
type Command struct {
	What, Bootstrap string
	// Partition is -1 when the client is to choose.
	Partition int32
	Jobs      []Job
}

// CommandLine reads the arguments of the process.
func CommandLine() Command {
	given := map[string][]string{}
	for i := 2; i+1 < len(os.Args); i += 2 {
		given[os.Args[i]] = append(given[os.Args[i]], os.Args[i+1])
	}
	command := Command{What: os.Args[1], Bootstrap: given["--bootstrap"][0], Partition: -1}
	if partition := given["--partition"]; partition != nil {
		command.Partition = int32(Must(strconv.Atoi(partition[0])))
	}
	for i, topic := range given["--topic"] {
		job := Job{Topic: topic}
		if command.What == "produce" {
			job.Codec, job.Input = given["--codec"][i], given["--input"][i]
		} else {
			job.Count, job.Output = Must(strconv.Atoi(given["--count"][i])), given["--output"][i]
		}
		command.Jobs = append(command.Jobs, job)
	}
	return command
}

// Read returns the records of a file.
func Read(path string) []Record {
	var records []Record
	for _, line := range bytes.Split(bytes.TrimSuffix(Must(os.ReadFile(path)), []byte("\n")), []byte("\n")) {
		var record Record
		Check(json.Unmarshal(line, &record))
		records = append(records, record)
	}
	return records
}

// Writer writes records as lines: this order of fields, no spaces, nothing escaped that need not be.
type Writer struct {
	file   *os.File
	buffer *bufio.Writer
	json   *json.Encoder
}

// Create makes the file.
func Create(path string) *Writer {
	file := Must(os.Create(path))
	buffer := bufio.NewWriter(file)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	return &Writer{file, buffer, encoder}
}

// Write appends a record.
func (writer *Writer) Write(record Record) {
	if record.Headers == nil {
		record.Headers = []Header{}
	}
	Check(writer.json.Encode(record))
}

// Close flushes and closes the file.
func (writer *Writer) Close() {
	Check(writer.buffer.Flush())
	Check(writer.file.Close())
}

// MarshalJSON writes [name, value].
func (header Header) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{header.Name, header.Value})
}

// UnmarshalJSON reads [name, value].
func (header *Header) UnmarshalJSON(line []byte) error {
	return json.Unmarshal(line, &[]any{&header.Name, &header.Value})
}

// Must is the value, or the end of the process.
func Must[T any](value T, err error) T {
	Check(err)
	return value
}

// Check ends the process if there is an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
