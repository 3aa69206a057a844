package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// corpus gives records of every shape: keys, values and headers that are null, empty, binary, long, hard and easy to
// compress, with timestamps that are not monotonic.
func corpus() []*kgo.Record {
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	headers := [][]kgo.RecordHeader{
		nil,
		{{Key: "trace", Value: []byte{0, 1, 0xfe, 0xff}}},
		{{Key: "twice", Value: []byte("1")}, {Key: "twice", Value: []byte("2")}, {Key: "empty", Value: []byte{}}},
		{{Key: "naïve ☃", Value: []byte("grüß")}, {Key: "null", Value: nil}},
	}
	records := []*kgo.Record{}
	for i := range 60 {
		keys := [][]byte{fmt.Appendf(nil, "key-%d", i), nil, {}, binary, {0}}
		values := [][]byte{{}, binary, bytes.Repeat([]byte("easy "), i*40), noise(i, 3000), nil, fmt.Appendf(nil, "v%d", i)}
		records = append(records, &kgo.Record{
			Key:       keys[i%len(keys)],
			Value:     values[i%len(values)],
			Headers:   headers[i%len(headers)],
			Timestamp: base.Add(time.Duration(i*1000-i%5*1700) * time.Millisecond),
		})
	}
	return records
}

func noise(seed, length int) []byte {
	out := []byte{}
	for block := 0; len(out) < length; block++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", seed, block))
		out = append(out, sum[:]...)
	}
	return out[:length]
}

// same fails the case unless all that was sent came back, from offset 0 on, byte for byte.
func same(received, sent []*kgo.Record) {
	equal(len(received), len(sent), "count of records")
	for i, record := range received {
		want := sent[i]
		equal(record.Offset, int64(i), "offset")
		equal(record.Timestamp.UnixMilli(), want.Timestamp.UnixMilli(), "timestamp at offset %d", i)
		equal(record.Key, want.Key, "key at offset %d", i)
		equal(record.Value, want.Value, "value at offset %d", i)
		equal(record.Headers, want.Headers, "headers at offset %d", i)
	}
}

// Two batches of records, by their timestamps relative to a base. In the first they are out of order.
var timeline = [][]int64{{0, 50, 20, 30, 40}, {1000, 1010, 1020, 1030, 1040}}

// For a timestamp asked for: the offset and the timestamp of the first record at or after it.
var timelineQueries = [][3]int64{{-1, 0, 0}, {0, 0, 0}, {1, 1, 50}, {15, 1, 50}, {51, 5, 1000}, {1015, 7, 1020}, {1040, 9, 1040}}

const timelineAfterTheEnd = 1041
