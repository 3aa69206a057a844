// The client compatibility cases of franz-go 1.22.2, with its admin client kadm 1.19.0.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	cases := []suiteCase{}
	for number, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		cases = append(cases, suiteCase{"roundtrip_" + codec, func(c *suiteContext) { roundtrip(c, codec, uint8(number)) }})
	}
	runSuite("franz_go", append(cases,
		suiteCase{"without_idempotence", withoutIdempotence},
		suiteCase{"bulk", bulk},
		suiteCase{"seek_mid_batch", seekMidBatch},
		suiteCase{"group_of_two", func(c *suiteContext) { groupOfTwo(c) }},
		suiteCase{"group_of_two_range", func(c *suiteContext) { groupOfTwo(c, kgo.Balancers(kgo.RangeBalancer())) }},
		suiteCase{"group_churn", groupChurn},
		suiteCase{"restart", surviveRestart},
		suiteCase{"commit_and_resume", commitAndResume},
		suiteCase{"offsets_by_timestamp_none", func(c *suiteContext) { offsetsByTimestamp(c, "none") }},
		suiteCase{"offsets_by_timestamp_zstd", func(c *suiteContext) { offsetsByTimestamp(c, "zstd") }},
		suiteCase{"create_topic", createTopic},
		suiteCase{"create_partitions", createPartitions},
		suiteCase{"delete_topic", deleteTopic},
		suiteCase{"describe", describe},
		suiteCase{"record_too_large", recordTooLarge},
	))
}

func client(c *suiteContext, options ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.bootstrap)}, options...)...)
	must(err)
	return cl
}

// failsWith fails the case unless err is the error that Kafka's protocol has for it.
func failsWith(err error, want *kerr.Error, what string) {
	equal(errors.Is(err, want), true, "%s: %v is %s", what, err, want.Message)
}

func timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func admin(c *suiteContext, use func(context.Context, *kadm.Client)) {
	cl := kadm.NewClient(client(c))
	defer cl.Close()
	ctx, cancel := timeout()
	defer cancel()
	use(ctx, cl)
}

func create(c *suiteContext, partitions int32, configs map[string]*string) {
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		created, err := cl.CreateTopic(ctx, partitions, 1, configs, c.name)
		must(err)
		must(created.Err)
		equal(created.NumPartitions, partitions, "partitions in the answer")
		waitUntil("metadata of the new topic", func() bool { return partitionCount(ctx, cl, c) == int(partitions) })
	})
}

func partitionCount(ctx context.Context, cl *kadm.Client, c *suiteContext) int {
	topics, err := cl.ListTopics(ctx, c.name)
	must(err)
	return len(topics[c.name].Partitions)
}

// sendAll sends records to one partition, as one batch if they fit, and checks the offsets they got.
func sendAll(c *suiteContext, partition int32, first int64, records []*kgo.Record, options ...kgo.Opt) {
	options = append([]kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(200 * time.Millisecond),
		kgo.AllowAutoTopicCreation(),
	}, options...)
	producer := client(c, options...)
	defer producer.Close()
	for _, record := range records {
		record.Topic, record.Partition = c.name, partition
	}
	ctx, cancel := timeout()
	defer cancel()
	for i, result := range producer.ProduceSync(ctx, records...) {
		must(result.Err)
		equal(result.Record.Offset, first+int64(i), "acknowledged offset")
	}
}

// read returns the next records that a client consumes.
func read(cl *kgo.Client, count int) []*kgo.Record {
	ctx, cancel := timeout()
	defer cancel()
	records := []*kgo.Record{}
	for len(records) < count {
		fetches := cl.PollRecords(ctx, count-len(records))
		for _, failure := range fetches.Errors() {
			panic(fmt.Sprintf("after %d of %d records: %v", len(records), count, failure.Err))
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// readFrom reads one partition from an offset on, in a client of its own.
func readFrom(c *suiteContext, partition int32, offset int64, count int) []*kgo.Record {
	at := map[string]map[int32]kgo.Offset{c.name: {partition: kgo.NewOffset().At(offset)}}
	cl := client(c, kgo.ConsumePartitions(at))
	defer cl.Close()
	return read(cl, count)
}

func values(count int) []*kgo.Record {
	records := []*kgo.Record{}
	for i := range count {
		records = append(records, &kgo.Record{Value: []byte(strconv.Itoa(i))})
	}
	return records
}

func roundtrip(c *suiteContext, codec string, number uint8) {
	sent := corpus()
	sendAll(c, 0, 0, sent, kgo.ProducerBatchCompression(codecs[codec]))
	received := readFrom(c, 0, 0, len(sent))
	same(received, sent)
	for _, record := range received {
		equal(record.Attrs.CompressionType(), number, "codec of the stored batch")
		equal(record.Attrs.TimestampType(), int8(0), "kind of timestamp")
	}
}

// By default this client is an idempotent producer, so this case is about the other kind.
func withoutIdempotence(c *suiteContext) {
	create(c, 1, nil)
	sendAll(c, 0, 0, values(2000), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	for i, record := range readFrom(c, 0, 0, 2000) {
		equal(string(record.Value), strconv.Itoa(i), "value")
	}
}

// More than any single fetch brings, over several partitions, with records as large as the default allows.
func bulk(c *suiteContext) {
	create(c, 3, nil)
	for partition := range int32(3) {
		records := []*kgo.Record{}
		for i := range 1500 {
			records = append(records, &kgo.Record{Value: noise(int(partition)*10000+i, 1000)})
		}
		for i := range 2 {
			records = append(records, &kgo.Record{Value: noise(i, 900_000)})
		}
		sendAll(c, partition, 0, records)
	}
	cl := client(c, kgo.ConsumeTopics(c.name))
	defer cl.Close()
	next := map[int32]int64{}
	for _, record := range read(cl, 3*1502) {
		i := next[record.Partition]
		equal(record.Offset, i, "offset in partition %d", record.Partition)
		if i < 1500 {
			equal(record.Value, noise(int(record.Partition)*10000+int(i), 1000), "value at offset %d", i)
		} else {
			equal(record.Value, noise(int(i)-1500, 900_000), "value at offset %d", i)
		}
		next[record.Partition]++
	}
}

func seekMidBatch(c *suiteContext) {
	create(c, 1, nil)
	sendAll(c, 0, 0, values(10), kgo.ProducerBatchCompression(kgo.NoCompression()))
	sendAll(c, 0, 10, values(10), kgo.ProducerBatchCompression(kgo.SnappyCompression()))
	for _, start := range []int{5, 9, 10, 13, 19, 0} {
		for i, record := range readFrom(c, 0, int64(start), 20-start) {
			equal(record.Offset, int64(start+i), "offset, from %d", start)
			equal(string(record.Value), strconv.Itoa((start+i)%10), "value, from %d", start)
		}
	}
}

func commitAndResume(c *suiteContext) {
	create(c, 2, nil)
	for partition := range int32(2) {
		sendAll(c, partition, 0, values(20))
	}
	session := func(use func(*kgo.Client)) {
		cl := client(c, kgo.ConsumerGroup(c.name), kgo.ConsumeTopics(c.name), kgo.DisableAutoCommit())
		defer cl.Close()
		use(cl)
	}
	ctx, cancel := timeout()
	defer cancel()

	session(func(cl *kgo.Client) {
		read(cl, 40)
		offsets := map[string]map[int32]kgo.EpochOffset{c.name: {0: {Epoch: -1, Offset: 7}, 1: {Epoch: -1, Offset: 13}}}
		cl.CommitOffsetsSync(ctx, offsets, nil)
	})
	session(func(cl *kgo.Client) {
		next := map[int32]int64{0: 7, 1: 13}
		for _, record := range read(cl, 20) {
			equal(record.Offset, next[record.Partition], "offset after the first restart")
			next[record.Partition]++
		}
		must(cl.CommitUncommittedOffsets(ctx))
	})
	sendAll(c, 0, 20, values(1))
	session(func(cl *kgo.Client) {
		last := read(cl, 1)[0]
		equal([]int64{int64(last.Partition), last.Offset}, []int64{0, 20}, "record after the second restart")
	})
	last := map[int32]int64{0: 3, 1: 4}
	commitOutside(c, c.name, last)
	checkCommitted(c, c.name, last)
}

// commitOutside commits for a group without members, with metadata.
func commitOutside(c *suiteContext, group string, at map[int32]int64) {
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		offsets := kadm.Offsets{}
		for partition, offset := range at {
			offsets.Add(kadm.Offset{Topic: c.name, Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
		}
		must(cl.CommitAllOffsets(ctx, group, offsets))
	})
}

const metadata = "resume here ☃"

// checkCommitted fails the case unless that is what the group has committed.
func checkCommitted(c *suiteContext, group string, at map[int32]int64) {
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		kept, err := cl.FetchOffsets(ctx, group)
		must(err)
		must(kept.Error())
		for partition, offset := range at {
			found, _ := kept.Lookup(c.name, partition)
			equal(found.At, offset, "committed offset of partition %d", partition)
			equal(found.Metadata, metadata, "committed metadata")
		}
	})
}

func offsetsByTimestamp(c *suiteContext, codec string) {
	create(c, 1, nil)
	base := time.Now().Add(-time.Hour).UnixMilli()
	for number, batch := range timeline {
		records := []*kgo.Record{}
		for _, at := range batch {
			records = append(records, &kgo.Record{Value: []byte("v"), Timestamp: time.UnixMilli(base + at)})
		}
		sendAll(c, 0, int64(number)*5, records, kgo.ProducerBatchCompression(codecs[codec]))
	}
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		found := func(offsets kadm.ListedOffsets, err error) []int64 {
			must(err)
			must(offsets.Error())
			offset, _ := offsets.Lookup(c.name, 0)
			return []int64{offset.Offset, max(offset.Timestamp-base, -1)}
		}
		for _, query := range timelineQueries {
			at := found(cl.ListOffsetsAfterMilli(ctx, base+query[0], c.name))
			equal(at, []int64{query[1], query[2]}, "first record from %d on", query[0])
		}
		// Where there is no such record, kadm asks for the end.
		equal(found(cl.ListOffsetsAfterMilli(ctx, base+timelineAfterTheEnd, c.name))[0], int64(10), "after the end")
		equal(found(cl.ListStartOffsets(ctx, c.name))[0], int64(0), "earliest")
		equal(found(cl.ListEndOffsets(ctx, c.name))[0], int64(10), "latest")
		equal(found(cl.ListCommittedOffsets(ctx, c.name))[0], int64(10), "latest committed")
		equal(found(cl.ListMaxTimestampOffsets(ctx, c.name)), []int64{9, 1040}, "record of the greatest timestamp")
	})
}

func createTopic(c *suiteContext) {
	create(c, 3, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")})
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		_, err := cl.CreateTopic(ctx, 1, 1, nil, c.name)
		failsWith(err, kerr.TopicAlreadyExists, "the same topic again")
		_, err = cl.CreateTopic(ctx, -1, -1, nil, c.name+".defaults")
		must(err)
		_, err = cl.ValidateCreateTopics(ctx, 1, 1, nil, c.name+".tried")
		must(err)
		topics, err := cl.ListTopics(ctx)
		must(err)
		equal(topics.Has(c.name), true, "the topic is listed")
		equal(topics.Has(c.name+".tried"), false, "a topic that was only tried")
		equal(topics[c.name].ID == kadm.TopicID{}, false, "the topic has no id")
	})
}

func createPartitions(c *suiteContext) {
	create(c, 1, nil)
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		added, err := cl.CreatePartitions(ctx, 2, c.name)
		must(err)
		must(added.Error())
		waitUntil("three partitions", func() bool { return partitionCount(ctx, cl, c) == 3 })
		fewer, err := cl.UpdatePartitions(ctx, 2, c.name)
		must(err)
		failsWith(fewer.Error(), kerr.InvalidPartitions, "fewer partitions")
	})
	sendAll(c, 2, 0, values(2))
}

func deleteTopic(c *suiteContext) {
	create(c, 1, nil)
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		_, err := cl.DeleteTopic(ctx, c.name)
		must(err)
		waitUntil("the topic to be gone", func() bool {
			topics, err := cl.ListTopics(ctx)
			must(err)
			return !topics.Has(c.name)
		})
		_, err = cl.DeleteTopic(ctx, c.name)
		failsWith(err, kerr.UnknownTopicOrPartition, "a topic that is gone")
	})
}

func describe(c *suiteContext) {
	create(c, 2, map[string]*string{"cleanup.policy": kadm.StringPtr("compact"), "retention.ms": kadm.StringPtr("86400000")})
	admin(c, func(ctx context.Context, cl *kadm.Client) {
		cluster, err := cl.BrokerMetadata(ctx)
		must(err)
		equal(len(cluster.Brokers), 1, "count of brokers")
		broker := cluster.Brokers[0]
		equal(fmt.Sprintf("%s:%d", broker.Host, broker.Port), c.bootstrap, "address of the broker")
		equal(cluster.Controller, broker.NodeID, "controller")
		equal(cluster.Cluster == "", false, "the cluster id is empty")

		settings := func(described kadm.ResourceConfigs, err error) map[string]string {
			must(err)
			must(described[0].Err)
			all := map[string]string{}
			for _, config := range described[0].Configs {
				all[config.Key] = config.MaybeValue()
			}
			return all
		}
		topic := settings(cl.DescribeTopicConfigs(ctx, c.name))
		equal(topic["cleanup.policy"], "compact", "cleanup.policy")
		equal(topic["retention.ms"], "86400000", "retention.ms")
		equal(topic["compression.type"], "producer", "compression.type")
		all := settings(cl.DescribeBrokerConfigs(ctx, broker.NodeID))
		for _, name := range []string{"num.partitions", "default.replication.factor", "auto.create.topics.enable"} {
			_, there := all[name]
			equal(there, true, "broker has %s", name)
		}
	})
}

func recordTooLarge(c *suiteContext) {
	create(c, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("2000")})
	producer := client(c, kgo.DefaultProduceTopic(c.name))
	defer producer.Close()
	ctx, cancel := timeout()
	defer cancel()
	err := producer.ProduceSync(ctx, &kgo.Record{Value: noise(1, 5000)}).FirstErr()
	failsWith(err, kerr.MessageTooLarge, "a record above max.message.bytes")
	sendAll(c, 0, 0, values(1))
}
