//! The log: partitions, segments, the shard's journal, indexes, recovery. Usable without a network.
