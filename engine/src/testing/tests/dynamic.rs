//! A hand-built task inside a typed graph: it sees bytes and descriptors.

use crate::{
    data::Encode,
    data::{Descriptor, Scratch, write},
    epoch::Epoch,
    exchange::{ChangeKind, Partitioning},
    key::{HashedKey, KeyHash},
    prelude::*,
    table::{Namespace, PointTable, Table, Width},
    task::{Batch, Context, OpenContext, Task},
    testing::{TestRecord, Testbed},
};

#[derive(Data, Clone, Debug, PartialEq)]
struct Order {
    customer: String,
    amount: u32,
    urgent: bool,
}

#[derive(Data, Clone, Debug, PartialEq)]
struct Total {
    amount: u64,
    orders: u32,
}

/// Adds up a field that is found by its name, by key; passes each new total on.
struct SumField {
    offset: usize,
    table: Option<PointTable>,
}

impl SumField {
    fn new(input: &Descriptor, field: &str) -> Self {
        let field = input.field(field).expect("the field is there");
        assert_eq!(field.ty.to_string(), "u32");
        Self { offset: field.offset as usize, table: None }
    }
}

impl Task for SumField {
    fn open(&mut self, cx: &mut OpenContext<'_>) {
        let width = Width::Fixed(12);
        self.table = Some(cx.point_table("totals", &[Total::DESCRIPTOR], Width::Variable, width));
    }

    fn batch(&mut self, _: usize, batch: &mut Batch<'_>, cx: &mut Context) -> Flow {
        let Batch::Rows(rows) = batch else { panic!("an edge") };
        let table = self.table.as_mut().expect("opened");
        while !rows.is_empty() {
            if cx.full() {
                return Flow::More;
            }
            let Some(row) = rows.take() else { break };
            cx.begin_record();
            // The root is the end of the value; the field lies in it.
            let root = &row.value[row.value.len() - size_of::<ArchivedOrder>()..];
            let amount = u32::from_le_bytes(root[self.offset..self.offset + 4].try_into().unwrap());
            let total = table.update(Namespace::NONE, row.hashed_key(), &[0; 12], |entry| {
                let sum = u64::from_le_bytes(entry[..8].try_into().unwrap()) + u64::from(amount);
                let count = u32::from_le_bytes(entry[8..].try_into().unwrap()) + 1;
                entry[..8].copy_from_slice(&sum.to_le_bytes());
                entry[8..].copy_from_slice(&count.to_le_bytes());
                entry.to_vec()
            });
            cx.emit(0, row.timestamp, Some(row.hashed_key()), ChangeKind::After, &total);
        }
        Flow::Done
    }

    fn watermark(&mut self, _: usize, watermark: i64, cx: &mut Context) -> Flow {
        cx.emit_watermark(watermark);
        Flow::Done
    }

    fn barrier(&mut self, _: Epoch, _: &mut Context) {}

    fn timer(&mut self, _: i64, _: &mut Context) -> Flow {
        Flow::Done
    }

    fn end(&mut self, _: usize, _: &mut Context) -> Flow {
        Flow::Done
    }

    fn restore(&mut self, _: &mut Context) -> Flow {
        Flow::Done
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table)) {
        visit(self.table.as_mut().expect("opened"));
    }
}

fn totals(job: &mut JobBuilder) {
    let orders = job
        .source("orders")
        .parse(|record| {
            let text = std::str::from_utf8(record.value?).ok()?;
            let (customer, amount) = text.split_once(' ')?;
            Some(Order { customer: customer.to_owned(), amount: amount.parse().ok()?, urgent: false })
        })
        .key_by(|order| order.customer.clone())
        .into_dynamic();
    let task = SumField::new(&orders.descriptor(), "amount");
    let outputs = [(Total::DESCRIPTOR.clone(), Partitioning::Keyed)];
    let mut totals = job.task("sum", vec![orders], &outputs, task);
    totals.remove(0).typed::<Total>().filter(|total| total.orders > 1).to_topic("totals", |total, record| {
        record.value().extend_from_slice(format!("{} {}", total.orders, total.amount).as_bytes());
    });
}

#[test]
fn a_hand_built_task_works_between_typed_ones() {
    for seed in 0..6 {
        let mut testbed = Testbed::new(totals).shards(1 + seed as usize % 3).seed(seed).budget(7);
        testbed.topic("orders", 1);
        testbed.topic("totals", 1);
        let orders: Vec<_> = (1..=200).map(|n| TestRecord::new(n, format!("c{} {n}", n % 4))).collect();
        testbed.produce("orders", 0, &orders);
        testbed.start_bounded();
        for _ in 0..200 {
            testbed.turn();
        }
        testbed.begin_epoch();
        for _ in 0..100 {
            testbed.turn();
        }
        testbed.kill();
        testbed.run_to_end();
        let output = testbed.output("totals");
        let mut rows: Vec<String> = output.iter().map(|row| row.value_text().to_owned()).collect();
        rows.sort();
        let mut expected = Vec::new();
        for customer in 0..4u64 {
            let mine: Vec<u64> = (1..=200).filter(|n| n % 4 == customer).collect();
            expected.extend((2..=mine.len()).map(|n| format!("{n} {}", mine[..n].iter().sum::<u64>())));
        }
        expected.sort();
        assert_eq!(rows, expected, "seed {seed}");
    }
}

/// A task that claims to write totals, and does not.
struct Liar;

impl Task for Liar {
    fn batch(&mut self, _: usize, batch: &mut Batch<'_>, cx: &mut Context) -> Flow {
        let Batch::Rows(rows) = batch else { panic!("an edge") };
        while let Some(row) = rows.take() {
            // A string whose relative pointer leads out of the record.
            let mut bytes = Vec::new();
            write("long enough to lie outside of the root", &mut bytes, &mut Scratch::new()).unwrap();
            let root = bytes.split_off(bytes.len() - 8);
            cx.emit(0, row.timestamp, None, ChangeKind::Insert, &root);
        }
        Flow::Done
    }

    fn watermark(&mut self, _: usize, _: i64, _: &mut Context) -> Flow {
        Flow::Done
    }

    fn barrier(&mut self, _: Epoch, _: &mut Context) {}

    fn timer(&mut self, _: i64, _: &mut Context) -> Flow {
        Flow::Done
    }

    fn end(&mut self, _: usize, _: &mut Context) -> Flow {
        Flow::Done
    }

    fn restore(&mut self, _: &mut Context) -> Flow {
        Flow::Done
    }
}

#[test]
fn bytes_of_a_hand_built_task_are_checked() {
    let mut testbed = Testbed::new(|job| {
        let input = job.source("in").parse(|record| record.value.map(|v| v.len() as u64)).into_dynamic();
        let outputs = [(String::DESCRIPTOR.clone(), Partitioning::Local)];
        let output = job.task("liar", vec![input], &outputs, Liar).remove(0);
        output.typed::<String>().map(|text| text.len()).sink(|_, _| ());
    });
    testbed.topic("in", 1);
    testbed.produce("in", 0, &[TestRecord::new(0, "x")]);
    testbed.start();
    testbed.run();
    let failure = testbed.failures()[0].to_string();
    assert!(failure.contains("is not a valid"), "{failure}");
}

/// Hashes travel with keys.
#[test]
fn a_row_has_the_hash_of_its_key() {
    assert_eq!(HashedKey::new(b"k").hash(), KeyHash::of(b"k"));
}
