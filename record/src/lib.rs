//! What flows: record batches, record views, offsets, checksums, compression. No I/O.
